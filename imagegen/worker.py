"""WorkerSettings for `arq imagegen.worker.WorkerSettings`: start and stop of the worker.

The worker owns every long-lived object; `imagegen/bootstrap.py` builds them.
"""

import asyncio
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
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
from chatflow_hook.tracing import Tracing
from imagegen import bootstrap, logs, memory, periodic
from imagegen.errors import ImagegenError, Unavailable
from imagegen.maintenance import forgotten_messages, retention, stray_prompts
from imagegen.maintenance.due_work import Work
from imagegen.metrics import Metrics
from imagegen.monitoring import (
    checks,
    host_status,
    http_server,
    image_page,
    published_values,
    trace_export,
    worker_status,
)
from imagegen.monitoring.metrics_page import MetricsPage, WorkerCollector
from imagegen.monitoring.persona_coverage import COVERAGE_EVERY_S, PersonaCoverage
from imagegen.monitoring.readiness import Readiness
from imagegen.monitoring.readings import Readings
from imagegen.monitoring.status import factory as status
from imagegen.monitoring.status.routes import StatusPage
from imagegen.pipeline import end_notices, pause_gate, turn_reader
from imagegen.pipeline.context import JobContext
from imagegen.pipeline.make_image import make_image
from imagegen.pool import membership
from imagegen.pool.pool import Pool
from imagegen.queue import connections, job_lease, shutdown
from imagegen.queue.foreign_keys import warn_of_foreign_keys
from imagegen.queue.job_lease import RecoveryTimes
from imagegen.queue.outbox_relay import OutboxRelay
from imagegen.queue.persona_reload import RELOAD_EVERY_S, RELOAD_PAUSE_S, PersonaReload
from imagegen.queue.shutdown import GracefulShutdown
from imagegen.queue.wake_listener import WakeListener
from imagegen.settings import LogSettings, Settings
from imagegen.settings import from_env as read_settings
from imagegen.storage.store import ImageStore
from imagegen.workflows.library import Library
from imagegen.workflows.reload import ReloadableLibrary

log = structlog.get_logger(__name__)

# The least time between two polls; how long one waits, the queue itself decides.
_POLL_DELAY_S = 0.01
_MAX_JOBS = 1000
# Most of a job is waiting: for a prompt, a slot, Telegram.
_JOBS_PER_SLOT, _MORE_JOBS = 4, 64
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
    library: ReloadableLibrary | None = None,
    tracing: Tracing | None = None,
) -> type:
    """Return the class whose attributes arq reads; call it once for each worker.

    `owns_process`: the process runs nothing but this worker, so the worker sets up logging, memory
    and signal handlers. Tests that run a worker inside their own process set it to False. `library`:
    the personas, if they are loaded already; None loads and screens those of the settings. `tracing`
    is for tests too; None: spans are sent to OTEL_EXPORTER_OTLP_ENDPOINT, if it is set.

    Raises:
        BadSetting: there are no workflows, the image store cannot be opened, MESSAGES_FILE cannot
            be used, or traces are to be sent and OpenTelemetry is not installed.
    """
    trace_export.require_installed(settings.trace_endpoint)
    library = library or bootstrap.reloadable_library(settings)
    images = bootstrap.image_store(settings)
    words = messages_of(settings)
    metrics = Metrics(persona_name=library.name_of, prices=settings.host_price_per_hour)
    queue = connections.job_queue(
        settings.redis,
        db=settings.redis_broker_db,
        # Workers in two containers may have the same name.
        worker=f"{logs.worker_name()}-{secrets.token_hex(8)}",
    )
    stack = AsyncExitStack()
    graceful_shutdown = GracefulShutdown(queue, grace_s=settings.stop_grace)
    if owns_process:
        memory.reuse_memory()
        graceful_shutdown.listen_for_signals()

    async def on_startup(ctx: dict[str, Any]) -> None:
        job_lease.adapt_arq(recovery.lease_s)
        pages = _Pages(
            readiness=Readiness(lambda: graceful_shutdown.is_under_way),
            metrics=MetricsPage(metrics.registry),
            status=status.status_page(settings),
        )
        await stack.enter_async_context(
            http_server.serving(
                settings.web_host,
                settings.web_port,
                pages.readiness,
                [
                    pages.metrics.route,
                    *pages.status.routes(),
                    *_image_page(settings, images, lambda: ctx.get("context")),
                ],
            )
        )
        spans = tracing
        if spans is None:
            exporting = trace_export.exporting(settings.trace_endpoint, worker=logs.worker_name())
            spans = await stack.enter_async_context(exporting)
        parts = await bootstrap.worker_parts(
            settings,
            library,
            images,
            stack,
            words=words,
            metrics=metrics,
            tracing=spans,
            recovery=recovery,
            queue=queue,
        )
        context = ctx["context"] = parts.context
        queue.limit_jobs(context.circuit_breaker.due)
        queue.limit_running(
            graceful_shutdown.job_count, lambda: _JOBS_PER_SLOT * context.pool.slots + _MORE_JOBS
        )
        relay = OutboxRelay(context.requests, ctx["redis"], recovery, place=settings.redis)
        coverage = PersonaCoverage(library, context.pool)
        reload = PersonaReload(parts.results_redis, library, worker=logs.worker_name())
        if owns_process:
            reload.listen_for_sighup()
        await _start_steps(
            settings, parts, stack, relay=relay, relay_every_s=recovery.relay_every_s
        )
        await stack.enter_async_context(
            periodic.every(
                retention.EVERY_S,
                parts.retention.step,
                name="retention",
                delay_s=retention.FIRST_AFTER_S,
            )
        )
        for name, step, seconds in (
            ("coverage", coverage.step, COVERAGE_EVERY_S),
            ("log repeats", logs.log_repeats, _LOG_REPEATS_EVERY_S),
        ):
            await stack.enter_async_context(periodic.every(seconds, step, name=name))
        await stack.enter_async_context(
            periodic.every(
                RELOAD_PAUSE_S,
                reload.step,
                name="personas",
                due=reload.asked,
                due_within_s=RELOAD_EVERY_S,
            )
        )
        if owns_process:
            await stack.enter_async_context(
                periodic.every(
                    memory.GIVE_BACK_EVERY_S,
                    memory.give_memory_back,
                    name="memory",
                    # By then the objects of the start are frozen, which a collection would look at.
                    delay_s=memory.GIVE_BACK_EVERY_S,
                )
            )
        await stack.enter_async_context(
            parts.keep_warm.running(is_stopping=lambda: graceful_shutdown.is_under_way)
        )
        await _publish(
            settings,
            parts,
            pages,
            stack,
            personas=lambda: library.current.workflows,
            is_stopping=lambda: graceful_shutdown.is_under_way,
            coverage=coverage,
        )
        wakes = WakeListener(
            queue, settings.redis, db=settings.redis_broker_db, on_message=reload.on_message
        )
        await stack.enter_async_context(wakes.listening())
        graceful_shutdown.attach_to_arq()
        async with connections.silent_connection(
            settings.redis, db=settings.redis_broker_db
        ) as redis:
            await warn_of_foreign_keys(redis, db=settings.redis_broker_db)
        if owns_process:
            memory.spare_objects_of_start()
        _log_start(settings, library.current, context.pool)

    async def on_shutdown(_: dict[str, Any]) -> None:
        await stack.aclose()
        logs.log_rest()
        log.info("worker stopped")

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
            "after_job_end": queue.make_room,
            # Fewer as long as there are few slots, see `limit_running`.
            "max_jobs": _MAX_JOBS,
            # How many due jobs a poll reads. The leases of running jobs move them out of its
            # range. More would only be read and dropped when thousands wait.
            "queue_read_limit": _MAX_JOBS,
            "job_timeout": job_lease.JOB_TIMEOUT_S,
            "poll_delay": _POLL_DELAY_S,
            "health_check_interval": recovery.health_s,
        },
    )


@dataclass(frozen=True, kw_only=True)
class _Pages:
    """What is served from the start on, and filled as soon as the worker has its connections."""

    readiness: Readiness
    metrics: MetricsPage
    status: StatusPage


async def _start_steps(
    settings: Settings,
    parts: bootstrap.WorkerParts,
    stack: AsyncExitStack,
    *,
    relay: OutboxRelay,
    relay_every_s: float,
) -> None:
    """Start what runs when PostgreSQL has work for it, and the look for that work."""
    context, due_work = parts.context, parts.due_work
    clean_up = partial(parts.stray_cleanup.step, context.pool)
    delete = parts.forgotten_messages.step
    for name, step, seconds, work in (
        ("pauses", context.pause_gate.step, pause_gate.EVERY_S, Work.PAUSES),
        ("turns", context.turn_reader.step, turn_reader.EVERY_S, Work.UNREAD_TURNS),
        ("relay", relay.step, relay_every_s, Work.SILENT_REQUESTS),
        ("strays", clean_up, stray_prompts.EVERY_S, Work.STRAY_PROMPTS),
        ("messages", delete, forgotten_messages.EVERY_S, Work.FORGOTTEN_MESSAGES),
        ("ends", context.end_notices.step, end_notices.EVERY_S, Work.CHAT_ENDS),
    ):
        doing = periodic.every(seconds, step, name=name, due=due_work.event(work))
        await stack.enter_async_context(doing)
    # Names in the DNS change without a word in PostgreSQL.
    due = None if settings.host_dns_names else due_work.event(Work.HOST_ORDERS)
    hosts = periodic.every(
        membership.HOSTS_EVERY_S, parts.pool_membership.step, name="hosts", due=due
    )
    await stack.enter_async_context(hosts)
    looking = periodic.every(due_work.look_every_s, due_work.step, name="due work")
    await stack.enter_async_context(looking)


async def _publish(  # noqa: PLR0913 (what the worker has made, the last three by name)
    settings: Settings,
    parts: bootstrap.WorkerParts,
    pages: _Pages,
    stack: AsyncExitStack,
    *,
    personas: Callable[[], Iterable[str]],
    is_stopping: Callable[[], bool],
    coverage: PersonaCoverage,
) -> None:
    """Tell in Redis and on the pages how this worker is, until `stack` is closed."""
    context, worker = parts.context, logs.worker_name()
    values = {
        **host_status.published(context.pool),
        **worker_status.published(
            context.pool,
            name=worker,
            shares_hosts=settings.workers_share_hosts,
            is_stopping=is_stopping,
        ),
    }
    await stack.enter_async_context(
        published_values.publishing(parts.results_redis, values, name="status")
    )
    shown = status.showing(
        pages.status,
        settings,
        context,
        results_redis=parts.results_redis,
        readiness=pages.readiness,
        worker=worker,
        personas=personas,
    )
    await stack.enter_async_context(shown)
    engine = checks.check_engine(settings)
    stack.push_async_callback(engine.dispose)
    await stack.enter_async_context(
        checks.running(settings, context, pages.readiness, engine, coverage)
    )
    readings = Readings(context, pages.readiness, engine)
    collector = WorkerCollector(
        context,
        readings,
        prices=settings.host_price_per_hour,
        fallbacks=parts.prompts.fallbacks,
    )
    await stack.enter_async_context(pages.metrics.showing(collector, readings))


def _image_page(
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


def _log_start(settings: Settings, library: Library, pool: Pool) -> None:
    for persona, fault in library.faults.items():
        log.error(
            "persona cannot be drawn", persona=persona, why=fault.sentence, file=str(fault.file)
        )
    if settings.image_generation_frequency is not None:
        log.warning(
            "IMAGE_GENERATION_FREQUENCY is set and was never used; "
            "IMAGE_TRIGGER_MIN and IMAGE_TRIGGER_MAX say how often pictures come"
        )
    if settings.slots < settings.all_slots and not settings.host_dns_names:
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
        hosts=[host.name for host in pool.status()],
        slots=pool.slots,
        personas=sorted(library.workflows),
    )
