"""WorkerSettings for `arq imagegen.worker.WorkerSettings`: start and stop of the worker.

The worker owns every long-lived object; `imagegen/bootstrap.py` builds them.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Any
from uuid import UUID

import click
import structlog
from aiohttp.web import RouteDef
from arq.worker import func, run_worker

from chatflow_hook.messages import messages_of
from chatflow_hook.queue import JOB, QUEUE, dumps, loads
from chatflow_hook.settings import BadSetting, read
from imagegen import bootstrap, image_file, logs, periodic
from imagegen.errors import ImagegenError, Unavailable
from imagegen.maintenance import forgotten_messages, retention, stray_prompts
from imagegen.monitoring import checks, http_server, image_page
from imagegen.monitoring.host_status import HostStatusPublisher
from imagegen.monitoring.persona_coverage import COVERAGE_EVERY_S, PersonaCoverage
from imagegen.monitoring.readiness import Readiness
from imagegen.pipeline import end_notices, turn_reader
from imagegen.pipeline.context import JobContext
from imagegen.pipeline.make_image import make_image
from imagegen.queue import connections, job_lease, shutdown
from imagegen.queue.foreign_keys import warn_of_foreign_keys
from imagegen.queue.job_lease import RecoveryTimes, allow_two_runs_of_a_job, leave_unknown_jobs
from imagegen.queue.outbox_relay import OutboxRelay
from imagegen.queue.shutdown import GracefulShutdown
from imagegen.settings import LogSettings, Settings
from imagegen.settings import from_env as read_settings
from imagegen.storage.store import ImageStore
from imagegen.workflows.library import Library

log = structlog.get_logger(__name__)

_POLL_DELAY_S = 0.05
_MAX_JOBS = 1000
_RECOVERY_TIMES = RecoveryTimes()
_LOG_REPEATS_EVERY_S = 5.0


def __getattr__(name: str) -> Any:
    """Make WorkerSettings when arq asks for it, so that importing this module reads no settings."""
    if name != "WorkerSettings":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return from_env()


def from_env(*, recovery: RecoveryTimes = _RECOVERY_TIMES) -> type:
    """Return WorkerSettings made from the environment, for arq's own command.

    A wrong setting ends the process with one line in the log and code 1; so does a Redis that does
    not answer under `arq --check`. A worker waits for Redis.
    """
    shutdown.install_signal_handlers()
    _configure_logs()
    with _ending_with_one_line():
        settings = read_settings()
        settings_class = worker_settings(settings, recovery=recovery)
        why = asyncio.run(connections.outage(settings))
    if why is not None:
        log.warning("redis cannot be used", why=why)
        if _is_health_check():
            sys.exit(1)
    return settings_class


def run() -> None:
    """Run a worker as arq's command does, and answer probes also while Redis is away at the start.

    A wrong setting ends the process with one line in the log and code 1.
    """
    shutdown.install_signal_handlers()
    _configure_logs()
    with _ending_with_one_line():
        settings = read_settings()
        settings_class = worker_settings(settings)
        asyncio.run(checks.wait_for_redis(settings))
    run_worker(settings_class)


def worker_settings(
    settings: Settings,
    *,
    owns_process: bool = True,
    recovery: RecoveryTimes = _RECOVERY_TIMES,
    library: Library | None = None,
) -> type:
    """Return the class whose attributes arq reads; call it once for each worker.

    `owns_process`: the process runs nothing but this worker, so the worker sets up logging, memory
    and signal handlers. Tests that run a worker inside their own process set it to False.
    `library`: the personas, if they are loaded already; None loads and screens those of the settings.

    Raises:
        BadSetting: there are no workflows, the image store cannot be opened, or MESSAGES_FILE
            cannot be used.
    """
    library = library or bootstrap.workflow_library(settings)
    images = bootstrap.image_store(settings)
    words = messages_of(settings)
    queue = connections.job_queue(settings.redis, db=settings.redis_broker_db)
    stack = AsyncExitStack()
    graceful_shutdown = GracefulShutdown(queue, grace_s=settings.stop_grace)
    if owns_process:
        image_file.give_large_memory_back()
        graceful_shutdown.listen_for_signals()

    async def on_startup(ctx: dict[str, Any]) -> None:
        allow_two_runs_of_a_job()
        leave_unknown_jobs()
        readiness = Readiness(lambda: graceful_shutdown.is_under_way)
        await stack.enter_async_context(
            http_server.serving(
                settings.web_host,
                settings.web_port,
                readiness,
                _pages(settings, images, lambda: ctx.get("context")),
            )
        )
        parts = await bootstrap.worker_parts(
            settings, library, images, stack, words=words, lease_s=recovery.lease_s
        )
        context = ctx["context"] = parts.context
        queue.limit_jobs(context.circuit_breaker.due)
        await stack.enter_async_context(parts.counter_log.logged())
        relay = OutboxRelay(context.requests, ctx["redis"], recovery, place=settings.redis)
        coverage = PersonaCoverage(library, context.pool)
        for name, step, seconds in (
            ("retention", parts.retention.step, retention.EVERY_S),
            ("turns", context.turn_reader.step, turn_reader.EVERY_S),
            ("relay", relay.step, recovery.relay_every_s),
            ("strays", partial(parts.stray_cleanup.step, context.pool), stray_prompts.EVERY_S),
            ("messages", parts.forgotten_messages.step, forgotten_messages.EVERY_S),
            ("ends", context.end_notices.step, end_notices.EVERY_S),
            ("coverage", coverage.step, COVERAGE_EVERY_S),
            ("log repeats", logs.log_repeats, _LOG_REPEATS_EVERY_S),
        ):
            await stack.enter_async_context(periodic.every(seconds, step, name=name))
        publisher = HostStatusPublisher(parts.results_redis, context.pool)
        await stack.enter_async_context(publisher.publishing())
        await stack.enter_async_context(checks.running(settings, context, readiness))
        graceful_shutdown.attach_to_arq()
        async with connections.silent_connection(
            settings.redis, db=settings.redis_broker_db
        ) as redis:
            await warn_of_foreign_keys(redis, db=settings.redis_broker_db)
        _log_start(settings, library)

    async def on_shutdown(_: dict[str, Any]) -> None:
        await stack.aclose()
        logs.log_rest()
        log.info("worker stopped")

    max_jobs = min(4 * settings.slots + 64, _MAX_JOBS)
    return type(
        "WorkerSettings",
        (),
        {
            "functions": [
                func(
                    graceful_shutdown.wrap(make_image),
                    name=JOB,
                    max_tries=job_lease.MAX_TRIES,
                    keep_result=0,
                )
            ],
            "redis_settings": connections.arq_settings(settings.redis, db=settings.redis_broker_db),
            "redis_pool": queue,
            "handle_signals": False,
            "queue_name": QUEUE,
            # arq keeps a result for a job whose payload is gone, and then refuses to enqueue its
            # id again; with 0 it keeps none.
            "keep_result": 0,
            "job_serializer": dumps,
            "job_deserializer": loads,
            "on_startup": on_startup,
            "on_shutdown": on_shutdown,
            "max_jobs": max_jobs,
            # How many due jobs a poll reads. The leases of running jobs move them out of its
            # range. More would only be read and dropped twenty times a second when thousands wait.
            "queue_read_limit": _MAX_JOBS,
            "job_timeout": job_lease.JOB_TIMEOUT_S,
            "poll_delay": _POLL_DELAY_S,
            "health_check_interval": recovery.health_s,
        },
    )


def _pages(
    settings: Settings, images: ImageStore, context: Callable[[], JobContext | None]
) -> list[RouteDef]:
    """Return the pages that the worker serves besides the probes; its context comes later."""
    links = bootstrap.image_links(settings)
    if links is None:
        return []

    async def find_image(request_id: UUID) -> str | None:
        started = context()
        if started is None:
            raise Unavailable("the worker starts")
        return await started.requests.find_fetchable_image(request_id)

    return [image_page.route(links, images, find_image)]


def _configure_logs() -> None:
    """Set up logging, also where the settings are wrong: then as JSON."""
    try:
        form = read(LogSettings).log_format
    except BadSetting:
        form = "json"
    logs.configure(form, worker=logs.worker_name())


def _is_health_check() -> bool:
    # arq imports the settings within its command, before it looks at its own options.
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.params.get("check"))


@contextmanager
def _ending_with_one_line() -> Iterator[None]:
    """End the process with one line about what is wrong, instead of a traceback."""
    try:
        yield
    except (BadSetting, ImagegenError) as error:
        log.critical("worker cannot start", why=str(error))
        sys.exit(1)


def _log_start(settings: Settings, library: Library) -> None:
    for persona, fault in library.faults.items():
        log.error(
            "persona cannot be drawn", persona=persona, why=fault.sentence, file=str(fault.file)
        )
    if settings.image_generation_frequency is not None:
        log.warning(
            "IMAGE_GENERATION_FREQUENCY is set and was never used; "
            "IMAGE_TRIGGER_MIN and IMAGE_TRIGGER_MAX say how often pictures come"
        )
    if settings.slots < settings.all_slots:
        log.warning(
            "MAX_CONCURRENT_GENERATIONS leaves slots unused",
            slots=settings.slots,
            of=settings.all_slots,
            advice="leave it out: COMFYUI_SLOTS_PER_HOST says how many prompts a host gets",
        )
    log.info(
        "worker ready",
        database=settings.database.place,
        redis=settings.redis.address,
        hosts=[host.name for host in settings.comfyui_hosts],
        slots=settings.slots,
        personas=sorted(library.workflows),
    )
