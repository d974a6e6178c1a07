"""Sends the traces of requests to an OpenTelemetry collector, where the operator names one."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from chatflow_hook.settings import BadSetting
from chatflow_hook.tracing import Tracing
from imagegen import resources

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

# What was not sent by then is lost with the worker: nobody waits for a collector that is away.
_LAST_SPANS_WITHIN_S = 2.0
_SERVICE = "chatflow-imagegen-worker"


def require_installed(endpoint: str | None) -> None:
    """Make sure that traces can be sent to the operator's collector, if there is one.

    Raises:
        BadSetting: OpenTelemetry is not installed.
    """
    if endpoint is not None and find_spec("opentelemetry") is None:
        raise BadSetting(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed: "
            "pip install 'chatflow-imagegen[otel]'"
        )


@asynccontextmanager
async def exporting(endpoint: str | None, *, worker: str) -> AsyncIterator[Tracing]:
    """Give what makes the spans of a worker, and send them while the block runs.

    Without an `endpoint` OpenTelemetry is not imported, and no span is made; unless the process has
    set up a provider of its own. A thread of its own sends the spans, so nothing waits for a
    collector that is away. `worker`: the name of the worker, as in its log.
    """
    if endpoint is None:
        yield Tracing()
        return
    # Imported here, since it takes half a second and the extra may be missing.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    about = {
        "service.name": _SERVICE,
        "service.version": resources.version(),
        "service.instance.id": worker,
    }
    # OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER and the like are read by the library itself.
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield Tracing(provider)
    finally:
        await _shut_down(provider)


async def _shut_down(provider: "TracerProvider") -> None:
    """Send the last spans and end the thread that sends them, for two seconds at most."""
    ended: Future[None] = Future()

    def shut_down() -> None:
        provider.shutdown()
        ended.set_result(None)

    # A daemon, so that a collector that hangs does not keep the process from ending.
    threading.Thread(target=shut_down, name="last spans", daemon=True).start()
    await asyncio.wait({asyncio.wrap_future(ended)}, timeout=_LAST_SPANS_WITHIN_S)
