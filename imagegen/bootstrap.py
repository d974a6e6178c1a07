"""Builds objects from settings. The caller opens and closes them, except where an exit stack is given."""

import random
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.messages import Messages
from chatflow_hook.settings import BadSetting
from chatflow_hook.tracing import Tracing
from imagegen.comfy.address import HostAddress
from imagegen.comfy.client import HostClient
from imagegen.comfy.timeouts import PromptTimeouts
from imagegen.db.engine import connect
from imagegen.delivery.chat_sender import ChatSender
from imagegen.delivery.pacing import Pacing
from imagegen.delivery.rate_limit import FloodControl
from imagegen.delivery.telegram import Telegram
from imagegen.maintenance import forgotten_messages, stray_prompts
from imagegen.maintenance.due_work import DueWork, Work
from imagegen.maintenance.forgotten_messages import ForgottenMessages
from imagegen.maintenance.image_cleanup import ImageCleanup
from imagegen.maintenance.retention import Retention
from imagegen.maintenance.retention_limits import RetentionLimits
from imagegen.maintenance.stray_prompts import StrayCleanup
from imagegen.metrics import Metrics
from imagegen.pipeline import end_notices, pause_gate, turn_reader
from imagegen.pipeline.chat_progress import ChatProgress, ProgressSettings
from imagegen.pipeline.content_policy import ContentPolicy, PolicySettings
from imagegen.pipeline.context import JobContext
from imagegen.pipeline.cost_limit import CostLimit
from imagegen.pipeline.end_notices import EndNotices
from imagegen.pipeline.image_cache import ImageCache
from imagegen.pipeline.keep_warm import KeepWarm
from imagegen.pipeline.pause_gate import PauseGate
from imagegen.pipeline.photo_message import PhotoMessages
from imagegen.pipeline.quarantine import Quarantine
from imagegen.pipeline.safety_audit import SafetyAudit
from imagegen.pipeline.turn_reader import TurnReader
from imagegen.pool import membership as pool_membership
from imagegen.pool.health_checks import OnReturn
from imagegen.pool.host_orders import HostOrders
from imagegen.pool.membership import PoolMembership
from imagegen.pool.pool import Pool
from imagegen.pool.shared_slots import RedisSlotRegistry
from imagegen.pool.slot_scripts import room_channel
from imagegen.prompts.builder import PromptBuilder
from imagegen.queue import connections, job_lease
from imagegen.queue.circuit_breaker import CircuitBreaker
from imagegen.queue.job_lease import RecoveryTimes
from imagegen.queue.job_queue import JobQueue
from imagegen.queue.live_progress import LiveProgress
from imagegen.queue.warm_claims import WarmClaims
from imagegen.queue.worker_presence import WorkerPresence
from imagegen.requests.chat_ends import ChatEnds
from imagegen.requests.costs import Costs
from imagegen.requests.deliveries import Deliveries
from imagegen.requests.pauses import Pauses
from imagegen.requests.repository import RequestRepository
from imagegen.safety.screen import Screen, ScreenVerdict, shared_screen
from imagegen.settings import (
    HostSettings,
    LibrarySettings,
    PictureSettings,
    Settings,
    StoreSettings,
)
from imagegen.storage.factory import open_store, open_store_if_present
from imagegen.storage.image_links import ImageLinks
from imagegen.storage.s3 import S3Access
from imagegen.storage.store import ImageStore
from imagegen.workflows.errors import WorkflowsMissing
from imagegen.workflows.library import Library
from imagegen.workflows.reload import ReloadableLibrary
from imagegen.workflows.screening import screened_workflows

if TYPE_CHECKING:
    from imagegen.prompts.llm import LanguageModel

_DAY_S = 86_400.0
# After a minute people look elsewhere, and want to be notified of their picture.
_NOTIFY_AFTER_S = 60.0


@dataclass(frozen=True, kw_only=True)
class WorkerParts:
    """Everything of one worker: what its jobs share, and its periodic tasks.

    `results_redis` is the Redis client for live state.
    """

    context: JobContext
    due_work: DueWork
    pool_membership: PoolMembership
    results_redis: Redis
    retention: Retention
    stray_cleanup: StrayCleanup
    forgotten_messages: ForgottenMessages
    keep_warm: KeepWarm
    prompts: PromptBuilder


def workflow_library(settings: LibrarySettings) -> Library:
    """Load the personas and their workflows.

    Raises:
        BadSetting: a directory is missing, or has no folder with a persona.toml.
    """
    return reloadable_library(settings).current


def reloadable_library(settings: LibrarySettings) -> ReloadableLibrary:
    """Load the personas and their workflows, so that they can be read anew.

    Raises:
        BadSetting: a directory is missing, or has no folder with a persona.toml.
    """
    try:
        return ReloadableLibrary(
            partial(screened_workflows, settings.workflows_dir, settings.personas_dir)
        )
    except WorkflowsMissing as error:
        name = "PERSONAS_DIR" if error.directory == settings.personas_dir else "WORKFLOWS_DIR"
        raise BadSetting(
            f"{name}: got {error.directory}, must be a directory with a folder for each "
            "persona, which has a persona.toml"
        ) from error


def image_store(settings: StoreSettings) -> ImageStore:
    """Open the image store; make its directory if it is missing. It opens no connection.

    Raises:
        BadSetting: the directory cannot be made or written.
    """
    try:
        return open_store(
            settings.image_store,
            url_base=_url_base(settings),
            url_valid_s=settings.image_url_valid,
            access=_s3_access(settings),
        )
    except OSError as error:
        raise BadSetting(
            f"IMAGE_STORE: got {settings.image_store}, must be a directory that this user can "
            f"write to ({error.strerror})"
        ) from error


def image_store_if_present(settings: StoreSettings) -> ImageStore | None:
    """Open the image store; None if its directory is not on this machine."""
    return open_store_if_present(
        settings.image_store,
        url_base=_url_base(settings),
        url_valid_s=settings.image_url_valid,
        access=_s3_access(settings),
    )


def image_links(settings: Settings) -> ImageLinks | None:
    """Return what makes addresses of images that the worker serves; None if it serves none."""
    if settings.served_at is None:
        return None
    return ImageLinks(
        base=settings.served_at,
        # All workers of an installation have it.
        secret=settings.telegram_bot_token.get_secret_value(),
        valid_s=settings.image_url_valid,
    )


def retention_limits(settings: StoreSettings) -> RetentionLimits:
    """Return how long conversations, requests and images are kept; None for ever."""
    return RetentionLimits(
        context_s=settings.context_retention,
        requests_s=settings.requests_retention_days * _DAY_S or None,
        images_s=settings.images_retention_days * _DAY_S or None,
    )


def language_model(settings: PictureSettings) -> "LanguageModel | None":
    """Return the client of the language model, not opened yet; None if PROMPT_LLM_URL is not set.

    Raises:
        ValueError: the key cannot be sent in a header.
    """
    if settings.prompt_llm_url is None:
        return None
    # Only a worker that has a language model pays for the import of httpx.
    from imagegen.prompts.llm import LanguageModel  # noqa: PLC0415

    key = settings.prompt_llm_api_key
    return LanguageModel(
        url=str(settings.prompt_llm_url),
        model=settings.prompt_llm_model,
        api_key=None if key is None else key.get_secret_value(),
        timeout_s=settings.prompt_llm_timeout,
    )


def prompt_builder(model: "LanguageModel | None", screen: Screen) -> PromptBuilder:
    """Return a prompt builder that uses only sentences which the screen lets pass as they are."""
    return PromptBuilder(
        model, is_fine=lambda text: screen.prompt(text).verdict < ScreenVerdict.SAFE_ONLY
    )


def host_client(settings: HostSettings, address: HostAddress, *, drawing_s: float) -> HostClient:
    """Return the client of a ComfyUI host, not opened yet; `drawing_s` is GENERATION_TIMEOUT."""
    return HostClient(
        address,
        limits=PromptTimeouts(
            request_s=settings.comfyui_request_timeout,
            queue_s=settings.comfyui_queue_timeout,
            drawing_s=drawing_s,
            silence_s=settings.comfyui_silence_timeout,
            loading_s=settings.comfyui_loading_timeout,
            check_after_s=settings.comfyui_look_after,
            unreachable_s=settings.comfyui_away_timeout,
        ),
        headers=settings.host_headers,
        transcode=settings.comfyui_transcode,
    )


async def worker_parts(  # noqa: PLR0913 (what the worker has made, most of it by name)
    settings: Settings,
    library: ReloadableLibrary,
    images: ImageStore,
    stack: AsyncExitStack,
    *,
    words: Messages,
    metrics: Metrics,
    tracing: Tracing,
    recovery: RecoveryTimes,
    queue: JobQueue,
) -> WorkerParts:
    """Open everything that a worker needs; the stack closes it, last opened first.

    Whatever counts, counts into `metrics`. `queue`: where the worker takes its jobs from.
    """
    engine = connect(settings.database_url)
    stack.push_async_callback(engine.dispose)
    results = connections.result_connection(settings.redis, db=settings.redis_result_db)
    stack.push_async_callback(results.aclose)
    stray_cleanup = StrayCleanup(engine)
    membership = await _pool_membership(
        settings, engine, results, stack, queue=queue, on_return=stray_cleanup.remove_from
    )
    telegram = await stack.enter_async_context(
        Telegram(
            token=settings.telegram_bot_token.get_secret_value(),
            api_url=str(settings.telegram_api_url).rstrip("/"),
            timeout_s=settings.telegram_timeout,
        )
    )
    model = language_model(settings)
    if model is not None:
        await stack.enter_async_context(model)

    screen = shared_screen()
    prompts = prompt_builder(model, screen)
    safety_audit = SafetyAudit(engine, hash_secret=settings.hash_secret)
    image_cache = ImageCache(engine, images)
    requests = RequestRepository(
        engine,
        keeps_context=settings.context_retention > 0,
        age_text_version=settings.age_text_version,
    )
    turn_reader = TurnReader(engine, screen, hash_secret=settings.hash_secret)
    chat_sender = ChatSender(telegram, FloodControl(results), Pacing(), metrics)
    context = JobContext(
        metrics=metrics,
        tracing=tracing,
        turn_reader=turn_reader,
        content_policy=ContentPolicy(
            prompts, screen, safety_audit, turn_reader, _policy_settings(settings)
        ),
        safety_audit=safety_audit,
        image_cache=image_cache,
        cost_limit=CostLimit(
            Costs(engine, settings.host_price_per_hour), per_day=settings.cost_limit_per_day
        ),
        image_screen=settings.image_screen,
        requests=requests,
        deliveries=Deliveries(engine),
        library=library,
        pool=membership.pool,
        image_store=images,
        image_links=image_links(settings),
        telegram=telegram,
        photo_messages=_photo_messages(settings, requests, words),
        chat_sender=chat_sender,
        chat_progress=ChatProgress(
            chat_sender,
            requests,
            words,
            _progress_settings(settings),
            preview_screen=settings.image_screen,
        ),
        end_notices=EndNotices(ChatEnds(engine), chat_sender, words, told=settings.delivery_ends),
        progress=LiveProgress(results),
        quarantine=Quarantine(
            max_crashes=settings.request_crashes, count_suspects=requests.count_suspects
        ),
        pause_gate=PauseGate(Pauses(engine), max_age_s=settings.request_max_age),
        circuit_breaker=CircuitBreaker(),
        ai_mark=settings.delivery_ai_mark,
        max_age_s=settings.request_max_age,
        max_attempts=settings.request_attempts,
        max_unknown_sends=2 if settings.delivery_on_unknown == "resend" else 1,
        notify_after_s=_NOTIFY_AFTER_S,
        keep_outputs=settings.comfyui_keep_outputs,
        memory_retry_s=settings.comfyui_memory_retry,
        lease_s=recovery.lease_s,
    )
    return WorkerParts(
        context=context,
        due_work=_due_work(engine, recovery),
        pool_membership=membership,
        results_redis=results,
        retention=Retention(engine, ImageCleanup(engine, images), retention_limits(settings)),
        stray_cleanup=stray_cleanup,
        forgotten_messages=ForgottenMessages(engine, chat_sender),
        keep_warm=KeepWarm(
            membership.pool,
            library,
            WarmClaims(results),
            metrics,
            add_stray=stray_cleanup.add,
        ),
        prompts=prompts,
    )


def _due_work(engine: AsyncEngine, recovery: RecoveryTimes) -> DueWork:
    return DueWork(
        engine,
        every_s={
            Work.PAUSES: pause_gate.EVERY_S,
            Work.HOST_ORDERS: pool_membership.HOSTS_EVERY_S,
            Work.UNREAD_TURNS: turn_reader.EVERY_S,
            # At each look, so that the relay goes on at its own interval.
            Work.SILENT_REQUESTS: min(pause_gate.EVERY_S, recovery.relay_every_s),
            Work.STRAY_PROMPTS: stray_prompts.EVERY_S,
            Work.CHAT_ENDS: end_notices.EVERY_S,
            Work.FORGOTTEN_MESSAGES: forgotten_messages.EVERY_S,
        },
        silent_s=recovery.silent_s,
    )


async def _pool_membership(  # noqa: PLR0913 (the last two by name)
    settings: Settings,
    engine: AsyncEngine,
    results: Redis,
    stack: AsyncExitStack,
    *,
    queue: JobQueue,
    on_return: OnReturn,
) -> PoolMembership:
    """Return what gives the pool its hosts; the pool runs, with the hosts of this moment."""
    slot_registry = None
    if settings.workers_share_hosts:
        slot_registry = RedisSlotRegistry(results, worker=queue.worker)
        await stack.enter_async_context(slot_registry.renewed())
    pool = Pool(
        [],
        slots_per_host=settings.comfyui_slots_per_host,
        most=settings.max_concurrent_generations,
        shared=slot_registry,
        on_return=on_return,
    )
    membership = await stack.enter_async_context(
        PoolMembership(
            pool,
            addresses=settings.host_addresses,
            dns_names=settings.host_dns_names,
            orders=HostOrders(engine),
            open_host=partial(host_client, settings, drawing_s=settings.generation_timeout),
        )
    )
    await membership.step()
    await stack.enter_async_context(pool.running())
    await stack.enter_async_context(_presence(queue, results, slot_registry, pool).shown())
    return membership


def _presence(
    queue: JobQueue, results: Redis, slot_registry: RedisSlotRegistry | None, pool: Pool
) -> WorkerPresence:
    """Return what frees the jobs and slots of workers that have died."""

    def on_message(host: str) -> None:
        if slot_registry is not None:
            slot_registry.note_room(host)

    async def on_death(worker: str) -> None:
        # Its slots first: its jobs need them for what they have on the hosts.
        if slot_registry is not None:
            await slot_registry.release_of(worker, [host.name for host in pool.status()])
        await job_lease.free_jobs_of(queue, worker)

    return WorkerPresence(
        results, queue.worker, channel=room_channel, on_message=on_message, on_death=on_death
    )


def _photo_messages(
    settings: Settings, requests: RequestRepository, words: Messages
) -> PhotoMessages:
    return PhotoMessages(
        requests=requests,
        words=words,
        chance=random.SystemRandom(),
        buttons=settings.delivery_buttons,
        under=settings.delivery_buttons_under,
        has_captions=settings.delivery_captions,
        ai_mark=settings.delivery_ai_mark,
    )


def _policy_settings(settings: Settings) -> PolicySettings:
    return PolicySettings(
        max_rating=settings.max_rating,
        seed_mode=settings.seed_mode,
        protects_content=settings.protect_content,
    )


def _progress_settings(settings: Settings) -> ProgressSettings:
    return ProgressSettings(
        mode=settings.delivery_progress,
        shows_previews=settings.delivery_preview,
        protects_content=settings.protect_content,
        ai_mark=settings.delivery_ai_mark,
    )


def _url_base(settings: StoreSettings) -> str | None:
    return None if settings.image_url_base is None else str(settings.image_url_base)


def _s3_access(settings: StoreSettings) -> S3Access:
    return S3Access(
        endpoint=None if settings.aws_endpoint_url is None else str(settings.aws_endpoint_url),
        region=settings.aws_region,
        key_id=settings.aws_access_key_id,
        key=settings.aws_secret_access_key,
    )
