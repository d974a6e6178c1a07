"""WorkerSettings for `arq imagegen.worker.WorkerSettings`; builds and owns every long-lived thing."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import structlog
from arq.worker import func, run_worker

from chatflow_hook.queue import JOB, QUEUE, dumps, loads
from chatflow_hook.settings import BadSetting
from imagegen import allocation, logs, periodic, settings
from imagegen.comfy.client import HostClient
from imagegen.comfy.timeouts import PromptTimeouts
from imagegen.db.engine import connect
from imagegen.delivery.rate_limit import FloodControl
from imagegen.delivery.telegram import Telegram
from imagegen.errors import ImagegenError
from imagegen.maintenance import retention, stray_prompts
from imagegen.maintenance.image_cleanup import ImageCleanup
from imagegen.maintenance.retention import Retention
from imagegen.maintenance.stray_prompts import StrayCleanup
from imagegen.monitoring import checks, http_server
from imagegen.monitoring.counters import CounterLog
from imagegen.monitoring.host_status import HostStatusPublisher
from imagegen.monitoring.persona_coverage import COVERAGE_EVERY_S, PersonaCoverage
from imagegen.monitoring.readiness import Readiness
from imagegen.pipeline.content_policy import ContentPolicy, PolicySettings
from imagegen.pipeline.context import JobContext
from imagegen.pipeline.image_cache import ImageCache
from imagegen.pipeline.make_image import make_image
from imagegen.pipeline.quarantine import Quarantine
from imagegen.pool.pool import Pool
from imagegen.pool.shared_slots import RedisSlotRegistry
from imagegen.prompts.builder import PromptBuilder
from imagegen.prompts.llm import LanguageModel
from imagegen.queue import connections, job_lease, outbox_relay, shutdown
from imagegen.queue.job_lease import allow_two_runs_of_a_job
from imagegen.queue.outbox_relay import OutboxRelay
from imagegen.queue.progress import LiveProgress
from imagegen.queue.shutdown import GracefulShutdown
from imagegen.requests.deliveries import Deliveries
from imagegen.requests.repository import RequestRepository
from imagegen.safety.screen import Screen, Verdict
from imagegen.settings import Settings
from imagegen.storage.store import ImageStore
from imagegen.workflows.library import Library

log = structlog.get_logger(__name__)

_POLL_DELAY_S = 0.05
_MOST_JOBS = 1000
# Attempts live on the row; arq counts every deploy as a try.
_MAX_TRIES = 1_000_000
_HEALTH_EVERY_S = 5
_NO_REDIS = "imagegen: Redis does not answer yet, trying until it does\n"


def __getattr__(name: str) -> Any:
    """Make WorkerSettings when arq asks for it, so that importing this module reads nothing."""
    if name != "WorkerSettings":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    shutdown.install_signal_handlers()
    with _in_a_sentence():
        chosen = settings.from_env()
        if not asyncio.run(connections.is_answering(chosen.redis)):
            sys.stderr.write(_NO_REDIS)
        return worker_settings(chosen)


def run() -> None:
    """Run a worker as arq's command does, one that answers probes even while Redis is away."""
    shutdown.install_signal_handlers()
    with _in_a_sentence():
        chosen = settings.from_env()
        logs.configure(chosen.log_format)
        made = worker_settings(chosen)
        if not asyncio.run(connections.is_answering(chosen.redis)):
            sys.stderr.write(_NO_REDIS)
            asyncio.run(checks.serve_until_redis_answers(chosen))
    run_worker(made)


def worker_settings(chosen: Settings, *, owns_process: bool = True) -> type:
    """Return the class whose attributes arq reads. Raises BadSetting.

    `owns_process`: it is the worker's alone, so its logging and its end are the worker's too.
    """
    library = chosen.library()
    images = chosen.images()
    queue = connections.job_queue(chosen.redis, db=chosen.redis_broker_db)
    stack, stopping = AsyncExitStack(), GracefulShutdown(queue, grace_s=chosen.stop_grace)
    if owns_process:
        allocation.give_large_memory_back()
        stopping.listen_for_signals()

    async def on_startup(ctx: dict[str, Any]) -> None:
        allow_two_runs_of_a_job()
        if owns_process:  # here and not earlier, since arq sets up its own before
            logs.configure(chosen.log_format)
        readiness = Readiness(lambda: stopping.is_under_way)
        await stack.enter_async_context(
            http_server.serving(chosen.web_host, chosen.web_port, readiness)
        )
        ctx["context"] = context = await build(chosen, library, images, stack)
        bell = OutboxRelay(context.requests, ctx["redis"])
        await stack.enter_async_context(
            periodic.every(outbox_relay.RELAY_EVERY_S, bell.step, name="relay")
        )
        await stack.enter_async_context(
            periodic.every(stray_prompts.EVERY_S, context.strays.step, name="strays")
        )
        await stack.enter_async_context(
            periodic.every(
                COVERAGE_EVERY_S, PersonaCoverage(library, context.pool).step, name="census"
            )
        )
        await stack.enter_async_context(
            HostStatusPublisher(context.progress.redis, context.pool).publishing()
        )
        await stack.enter_async_context(checks.watched(chosen, context, readiness))
        stopping.attach_to_arq()
        _greet(chosen, library)

    async def on_shutdown(_: dict[str, Any]) -> None:
        await stack.aclose()
        log.info("worker stopped")

    max_jobs = min(4 * chosen.slots + 64, _MOST_JOBS)
    return type(
        "WorkerSettings",
        (),
        {
            "functions": [
                func(
                    stopping.wrap(make_image),
                    name=JOB,
                    max_tries=_MAX_TRIES,
                    keep_result=0,
                )
            ],
            "redis_settings": connections.arq_settings(chosen.redis, db=chosen.redis_broker_db),
            "redis_pool": queue,
            "handle_signals": False,
            "queue_name": QUEUE,
            # A job whose payload is gone would leave one, and its id could not be rung for.
            "keep_result": 0,
            "job_serializer": dumps,
            "job_deserializer": loads,
            "on_startup": on_startup,
            "on_shutdown": on_shutdown,
            "max_jobs": max_jobs,
            # Jobs that run are pushed out of sight by their leases: more would only be read and
            # dropped, twenty times a second, when thousands wait.
            "queue_read_limit": _MOST_JOBS,
            "job_timeout": job_lease.JOB_TIMEOUT_S,
            "poll_delay": _POLL_DELAY_S,
            "health_check_interval": _HEALTH_EVERY_S,
        },
    )


@contextmanager
def _in_a_sentence() -> Iterator[None]:
    """End with what is wrong in one line."""
    try:
        yield
    except (BadSetting, ImagegenError) as error:
        sys.exit(f"imagegen: {error}")


async def build(
    chosen: Settings, library: Library, images: ImageStore, stack: AsyncExitStack
) -> JobContext:
    """Open everything that jobs share; the stack closes it, last opened first."""
    engine = connect(chosen.database_url)
    stack.push_async_callback(engine.dispose)
    live = connections.result_connection(chosen.redis, db=chosen.redis_result_db)
    stack.push_async_callback(live.aclose)
    clients = [await stack.enter_async_context(client) for client in _clients(chosen)]
    telegram = Telegram(
        token=chosen.telegram_bot_token.get_secret_value(),
        api_url=str(chosen.telegram_api_url).rstrip("/"),
        timeout_s=chosen.telegram_timeout,
    )
    shared = RedisSlotRegistry(live) if chosen.workers_share_hosts else None
    if shared is not None:
        await stack.enter_async_context(shared.renewed())
    pool = Pool(
        clients, slots_per_host=chosen.comfyui_slots_per_host, most=chosen.slots, shared=shared
    )
    await stack.enter_async_context(pool.running())
    tidy = Retention(engine, ImageCleanup(engine, images), chosen.limits)
    await stack.enter_async_context(periodic.every(retention.EVERY_S, tidy.step, name="retention"))
    screen = Screen()
    prompts = PromptBuilder(
        await _language_model(chosen, stack),
        is_fine=lambda text: screen.prompt(text).verdict is Verdict.CLEAR,
    )
    reuse = ImageCache(engine, images)
    await stack.enter_async_context(CounterLog(prompts.fallbacks, reuse.saved).logged())
    return JobContext(
        content_policy=ContentPolicy(engine, prompts, screen, _rules(chosen)),
        image_cache=reuse,
        image_screen=chosen.image_screen,
        requests=RequestRepository(engine, keeps_context=chosen.context_retention > 0),
        deliveries=Deliveries(engine),
        strays=StrayCleanup(engine, pool),
        library=library,
        pool=pool,
        images=images,
        telegram=await stack.enter_async_context(telegram),
        flood_control=FloodControl(live),
        progress=LiveProgress(live),
        quarantine=Quarantine(most_crashes=chosen.request_crashes),
        max_age_s=chosen.request_max_age,
        max_attempts=chosen.request_attempts,
        most_unknown_sends=2 if chosen.delivery_on_unknown == "resend" else 1,
        keep_outputs=chosen.comfyui_keep_outputs,
    )


async def _language_model(chosen: Settings, stack: AsyncExitStack) -> LanguageModel | None:
    if chosen.prompt_llm_url is None:
        return None
    key = chosen.prompt_llm_api_key
    return await stack.enter_async_context(
        LanguageModel(
            url=str(chosen.prompt_llm_url),
            model=chosen.prompt_llm_model,
            api_key=None if key is None else key.get_secret_value(),
            timeout_s=chosen.prompt_llm_timeout,
        )
    )


def _rules(chosen: Settings) -> PolicySettings:
    return PolicySettings(
        max_rating=chosen.max_rating,
        seed_mode=chosen.seed_mode,
        age_text_version=chosen.age_text_version,
        protects_content=chosen.protect_content,
    )


def _clients(chosen: Settings) -> list[HostClient]:
    limits = PromptTimeouts(
        request=chosen.comfyui_request_timeout,
        queue=chosen.comfyui_queue_timeout,
        drawing=chosen.generation_timeout,
        silence=chosen.comfyui_silence_timeout,
        look=chosen.comfyui_look_after,
        away=chosen.comfyui_away_timeout,
    )
    return [
        HostClient(
            address,
            limits=limits,
            headers=chosen.host_headers,
            transcode=chosen.comfyui_transcode,
        )
        for address in chosen.comfyui_hosts
    ]


def _greet(chosen: Settings, library: Library) -> None:
    for name, fault in library.faults.items():
        log.error("persona cannot be drawn", persona=name, why=fault.sentence)
    if chosen.image_generation_frequency is not None:
        log.warning(
            "IMAGE_GENERATION_FREQUENCY is set and was never used; "
            "IMAGE_TRIGGER_MIN and IMAGE_TRIGGER_MAX say how often pictures come"
        )
    log.info(
        "worker ready",
        hosts=[host.name for host in chosen.comfyui_hosts],
        slots=chosen.slots,
        personas=sorted(library.workflows),
    )
