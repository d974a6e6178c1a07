"""WorkerSettings for `arq imagegen.worker.WorkerSettings`: start and stop of the worker."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import structlog
from arq.worker import func, run_worker

from chatflow_hook.queue import JOB, QUEUE, dumps, loads
from chatflow_hook.settings import BadSetting
from imagegen import bootstrap, image_file, logs, periodic, settings
from imagegen.errors import ImagegenError
from imagegen.maintenance import retention, stray_prompts
from imagegen.monitoring import checks, http_server
from imagegen.monitoring.host_status import HostStatusPublisher
from imagegen.monitoring.persona_coverage import COVERAGE_EVERY_S, PersonaCoverage
from imagegen.monitoring.readiness import Readiness
from imagegen.pipeline.make_image import make_image
from imagegen.queue import connections, job_lease, shutdown
from imagegen.queue.job_lease import RecoveryTimes, allow_two_runs_of_a_job
from imagegen.queue.outbox_relay import OutboxRelay
from imagegen.queue.shutdown import GracefulShutdown
from imagegen.settings import Settings
from imagegen.workflows.library import Library

log = structlog.get_logger(__name__)

_POLL_DELAY_S = 0.05
_MOST_JOBS = 1000
# Attempts live on the row; arq counts every deploy as a try.
_MAX_TRIES = 1_000_000
_HEALTH_EVERY_S = 5
_RECOVERY = RecoveryTimes()
_NO_REDIS = "imagegen: Redis does not answer yet, trying until it does\n"


def __getattr__(name: str) -> Any:
    """Make WorkerSettings when arq asks for it, so that importing this module reads nothing."""
    if name != "WorkerSettings":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return from_env()


def from_env(*, recovery: RecoveryTimes = _RECOVERY) -> type:
    """Return WorkerSettings made of the environment; end the process with a line if they can't be."""
    shutdown.install_signal_handlers()
    with _in_a_sentence():
        chosen = settings.from_env()
        if not asyncio.run(connections.is_answering(chosen.redis)):
            sys.stderr.write(_NO_REDIS)
        return worker_settings(chosen, recovery=recovery)


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


def worker_settings(
    chosen: Settings, *, owns_process: bool = True, recovery: RecoveryTimes = _RECOVERY
) -> type:
    """Return the class whose attributes arq reads. Raises BadSetting.

    `owns_process`: it is the worker's alone, so its logging and its end are the worker's too.
    """
    library = bootstrap.workflow_library(chosen)
    images = bootstrap.image_store(chosen)
    queue = connections.job_queue(chosen.redis, db=chosen.redis_broker_db)
    stack, stopping = AsyncExitStack(), GracefulShutdown(queue, grace_s=chosen.stop_grace)
    if owns_process:
        image_file.give_large_memory_back()
        stopping.listen_for_signals()

    async def on_startup(ctx: dict[str, Any]) -> None:
        allow_two_runs_of_a_job()
        if owns_process:  # here and not earlier, since arq sets up its own before
            logs.configure(chosen.log_format)
        readiness = Readiness(lambda: stopping.is_under_way)
        await stack.enter_async_context(
            http_server.serving(chosen.web_host, chosen.web_port, readiness)
        )
        parts = await bootstrap.worker_parts(
            chosen, library, images, stack, lease_s=recovery.lease_s
        )
        context = ctx["context"] = parts.context
        await stack.enter_async_context(parts.counter_log.logged())
        relay = OutboxRelay(context.requests, ctx["redis"], recovery)
        coverage = PersonaCoverage(library, context.pool)
        for name, step, seconds in (
            ("retention", parts.retention.step, retention.EVERY_S),
            ("relay", relay.step, recovery.relay_every_s),
            ("strays", parts.stray_cleanup.step, stray_prompts.EVERY_S),
            ("coverage", coverage.step, COVERAGE_EVERY_S),
        ):
            await stack.enter_async_context(periodic.every(seconds, step, name=name))
        publisher = HostStatusPublisher(parts.results, context.pool)
        await stack.enter_async_context(publisher.publishing())
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
