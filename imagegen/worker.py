"""WorkerSettings for `arq imagegen.worker.WorkerSettings`; builds and owns every long-lived thing."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import structlog
from arq.worker import func, run_worker

from chatflow_hook import wire
from chatflow_hook.settings import BadSetting
from imagegen import (
    allocation,
    broker,
    census,
    database,
    lease,
    logs,
    overtaking,
    probes,
    retention,
    settings,
    stop,
    strays,
    ticker,
)
from imagegen.bulletin import Bulletin
from imagegen.census import Census
from imagegen.comfy.client import HostClient
from imagegen.comfy.patience import Limits
from imagegen.comfy.pool import Pool
from imagegen.comfy.shared import SharedSlots
from imagegen.delivery.gate import Gate
from imagegen.delivery.telegram import Telegram
from imagegen.director import Director, Rules
from imagegen.discarded import Discarded
from imagegen.errors import ImagegenError
from imagegen.images import ImageStore
from imagegen.job import make_image
from imagegen.lease import RecoveryTimes
from imagegen.ledger import Ledger
from imagegen.live import Live
from imagegen.prompts.builder import PromptBuilder
from imagegen.prompts.llm import LanguageModel
from imagegen.quarantine import Quarantine
from imagegen.relay import Relay
from imagegen.requests import Requests
from imagegen.retention import Retention
from imagegen.reuse import Reuse
from imagegen.safety.screen import Verdict, shared_screen
from imagegen.settings import Settings
from imagegen.stop import Stop
from imagegen.strays import Strays
from imagegen.studio import Studio
from imagegen.tally import Tally
from imagegen.web import site
from imagegen.web.readiness import Readiness
from imagegen.workflows import Library

log = structlog.get_logger(__name__)

_POLL_DELAY_S = 0.05
_MOST_JOBS = 1000
# Attempts live on the row; arq counts every deploy as a try.
_MAX_TRIES = 1_000_000
_RECOVERY = RecoveryTimes()
_NO_REDIS = "imagegen: Redis does not answer yet, trying until it does\n"


def __getattr__(name: str) -> Any:
    """Make WorkerSettings when arq asks for it, so that importing this module reads nothing."""
    if name != "WorkerSettings":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return from_env()


def from_env(*, recovery: RecoveryTimes = _RECOVERY) -> type:
    """Return WorkerSettings made of the environment; end the process with a line if they can't be."""
    stop.ends_all()
    with _in_a_sentence():
        chosen = settings.from_env()
        if not asyncio.run(broker.answers(chosen.redis)):
            sys.stderr.write(_NO_REDIS)
        return worker_settings(chosen, recovery=recovery)


def run() -> None:
    """Run a worker as arq's command does, one that answers probes even while Redis is away."""
    stop.ends_all()
    with _in_a_sentence():
        chosen = settings.from_env()
        logs.configure(chosen.log_format)
        made = worker_settings(chosen)
        if not asyncio.run(broker.answers(chosen.redis)):
            sys.stderr.write(_NO_REDIS)
            asyncio.run(probes.until_redis_answers(chosen))
    run_worker(made)


def worker_settings(
    chosen: Settings, *, owns_process: bool = True, recovery: RecoveryTimes = _RECOVERY
) -> type:
    """Return the class whose attributes arq reads. Raises BadSetting.

    `owns_process`: it is the worker's alone, so its logging and its end are the worker's too.
    """
    library = chosen.library()
    images = chosen.images()
    queue = broker.queue(chosen.redis, db=chosen.redis_broker_db)
    stack, stopping = AsyncExitStack(), Stop(queue, grace_s=chosen.stop_grace)
    if owns_process:
        allocation.give_large_memory_back()
        stopping.listen()

    async def on_startup(ctx: dict[str, Any]) -> None:
        overtaking.allow()
        if owns_process:  # here and not earlier, since arq sets up its own before
            logs.configure(chosen.log_format)
        readiness = Readiness(lambda: stopping.is_under_way)
        await stack.enter_async_context(site.open_at(chosen.web_host, chosen.web_port, readiness))
        ctx["studio"] = studio = await build(
            chosen, library, images, stack, lease_s=recovery.lease_s
        )
        bell = Relay(studio.requests, ctx["redis"], recovery)
        await stack.enter_async_context(
            ticker.every(recovery.relay_every_s, bell.step, name="relay")
        )
        await stack.enter_async_context(
            ticker.every(strays.EVERY_S, studio.strays.step, name="strays")
        )
        await stack.enter_async_context(
            ticker.every(census.EVERY_S, Census(library, studio.pool).step, name="census")
        )
        await stack.enter_async_context(Bulletin(studio.live.redis, studio.pool).pinned())
        await stack.enter_async_context(probes.about(chosen, studio, readiness))
        stopping.begin()
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
                    stopping.reaching(make_image),
                    name=wire.JOB,
                    max_tries=_MAX_TRIES,
                    keep_result=0,
                )
            ],
            "redis_settings": broker.settings(chosen.redis, db=chosen.redis_broker_db),
            "redis_pool": queue,
            "handle_signals": False,
            "queue_name": wire.QUEUE,
            # A job whose payload is gone would leave one, and its id could not be rung for.
            "keep_result": 0,
            "job_serializer": wire.dumps,
            "job_deserializer": wire.loads,
            "on_startup": on_startup,
            "on_shutdown": on_shutdown,
            "max_jobs": max_jobs,
            # Jobs that run are pushed out of sight by their leases: more would only be read and
            # dropped, twenty times a second, when thousands wait.
            "queue_read_limit": _MOST_JOBS,
            "job_timeout": lease.JOB_TIMEOUT_S,
            "poll_delay": _POLL_DELAY_S,
            "health_check_interval": recovery.health_s,
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
    chosen: Settings,
    library: Library,
    images: ImageStore,
    stack: AsyncExitStack,
    *,
    lease_s: float,
) -> Studio:
    """Open everything that jobs share; the stack closes it, last opened first."""
    engine = database.connect(chosen.database_url)
    stack.push_async_callback(engine.dispose)
    live = broker.live(chosen.redis, db=chosen.redis_result_db)
    stack.push_async_callback(live.aclose)
    clients = [await stack.enter_async_context(client) for client in _clients(chosen)]
    telegram = Telegram(
        token=chosen.telegram_bot_token.get_secret_value(),
        api_url=str(chosen.telegram_api_url).rstrip("/"),
        timeout_s=chosen.telegram_timeout,
    )
    shared = SharedSlots(live) if chosen.workers_share_hosts else None
    if shared is not None:
        await stack.enter_async_context(shared.renewed())
    pool = Pool(
        clients, slots_per_host=chosen.comfyui_slots_per_host, most=chosen.slots, shared=shared
    )
    await stack.enter_async_context(pool.tended())
    tidy = Retention(engine, Discarded(engine, images), chosen.limits)
    await stack.enter_async_context(ticker.every(retention.EVERY_S, tidy.step, name="retention"))
    screen = shared_screen()
    prompts = PromptBuilder(
        await _language_model(chosen, stack),
        is_fine=lambda text: screen.prompt(text).verdict is Verdict.CLEAR,
    )
    reuse = Reuse(engine, images)
    await stack.enter_async_context(Tally(prompts.fallbacks, reuse.saved).told())
    return Studio(
        director=Director(engine, prompts, screen, _rules(chosen)),
        reuse=reuse,
        image_screen=chosen.image_screen,
        requests=Requests(engine, keeps_context=chosen.context_retention > 0),
        ledger=Ledger(engine),
        strays=Strays(engine, pool),
        library=library,
        pool=pool,
        images=images,
        telegram=await stack.enter_async_context(telegram),
        gate=Gate(live),
        live=Live(live),
        quarantine=Quarantine(most_crashes=chosen.request_crashes),
        max_age_s=chosen.request_max_age,
        max_attempts=chosen.request_attempts,
        most_unknown_sends=2 if chosen.delivery_on_unknown == "resend" else 1,
        keep_outputs=chosen.comfyui_keep_outputs,
        lease_s=lease_s,
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


def _rules(chosen: Settings) -> Rules:
    return Rules(
        max_rating=chosen.max_rating,
        seed_mode=chosen.seed_mode,
        age_text_version=chosen.age_text_version,
        protects_content=chosen.protect_content,
    )


def _clients(chosen: Settings) -> list[HostClient]:
    limits = Limits(
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
