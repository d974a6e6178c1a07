"""One trace from the bot's turn to the photo, by OpenTelemetry's own SDK."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from chatflow_hook import ChatFlowHook
from chatflow_hook.tracing import Tracing
from imagegen.comfy.errors import HostLost
from tests.support import conversations
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct

WAY = {
    "on_turn": None,
    "job": "on_turn",
    "waiting": "job",
    "prompt": "job",
    "slot": "job",
    "host": "job",
    "host_queue": "host",
    "loading": "host",
    "drawing": "host",
    "fetch": "job",
    "store": "job",
    "deliver": "job",
}


@asynccontextmanager
async def traced(
    products: ProductFactory, **settings: Any
) -> AsyncIterator[tuple[RunningProduct, ChatFlowHook, InMemorySpanExporter]]:
    """Run a product whose worker and whose hook give their spans to one exporter."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with products.start(works=False, **settings) as product:
        hook_settings = conversations.hook_settings(
            product.settings.database_url.get_secret_value(), str(redis_url(product))
        )
        async with (
            ChatFlowHook(
                hook_settings, turn_timeout_s=PATIENCE_S, tracer_provider=provider
            ) as hook,
            product.worker(tracing=Tracing(provider)),
        ):
            yield product, hook, exporter


def redis_url(product: RunningProduct) -> str:
    assert product.settings.redis_url is not None
    return product.settings.redis_url.get_secret_value()


def parents(spans: tuple[ReadableSpan, ...]) -> Mapping[str, str | None]:
    """Return the name of each span's parent by the name of the span."""
    names = {span.context.span_id: span.name for span in spans if span.context}
    return {span.name: names.get(span.parent.span_id) if span.parent else None for span in spans}


async def test_one_trace_has_the_whole_way_of_a_picture(products: ProductFactory) -> None:
    async with traced(products, seconds_per_picture=0.2) as (product, hook, exporter):
        for _ in range(2):
            await hook.on_turn(turn(text="a secret of mine"))
        exporter.clear()  # those two turns brought no picture
        request = await hook.on_turn(turn(text="a secret of mine"))
        assert request is not None
        await hook.wait(request, timeout=PATIENCE_S)
        host = product.settings.comfyui_hosts[0].name

    spans = exporter.get_finished_spans()
    assert parents(spans) == WAY
    assert len({span.context.trace_id for span in spans if span.context}) == 1
    attributes = {key: value for span in spans for key, value in (span.attributes or {}).items()}
    assert attributes == {
        "chatflow.request_id": str(request.id),
        "chatflow.kind": "automatic",
        "chatflow.persona": "lina",
        "chatflow.state": "queued",
        "chatflow.end": "delivered",
        "chatflow.host": host,
    }
    starts = {span.name: span.start_time or 0 for span in spans}
    assert starts["host_queue"] <= starts["loading"] <= starts["drawing"] <= starts["fetch"]


async def test_a_failure_is_told_by_its_code_and_not_by_its_words(
    products: ProductFactory,
) -> None:
    async with traced(products) as (_, hook, exporter):
        request = await hook.ask(turn(persona="a secret persona"))
        await hook.wait(request, timeout=PATIENCE_S)  # type: ignore[arg-type]

    (job,) = [span for span in exporter.get_finished_spans() if span.name == "job"]
    assert dict(job.attributes or {})["chatflow.code"] == "unknown_persona"
    assert "secret" not in job.to_json()


def test_an_error_within_a_span_is_its_status() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    with pytest.raises(HostLost), Tracing(provider).span("host"):
        raise HostLost("gpu-1 said: a secret of mine")

    (span,) = exporter.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "host_lost")
    assert "secret" not in span.to_json()


async def test_without_a_provider_a_request_has_no_trace(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        await product.ask()

    (row,) = await conversations.requests_of(sessions)
    assert row.traceparent is None


async def test_a_worker_sends_its_spans_to_the_collector(products: ProductFactory) -> None:
    received: list[str] = []
    has_deliver = asyncio.Event()

    async def collect(request: web.Request) -> web.Response:
        export = ExportTraceServiceRequest.FromString(await request.read())
        for resource in export.resource_spans:
            received.extend(span.name for scope in resource.scope_spans for span in scope.spans)
        if "deliver" in received:
            has_deliver.set()
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", collect)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with products.start(
            otel_exporter_otlp_endpoint=f"http://127.0.0.1:{port}"
        ) as product:
            await product.picture()
        # The last spans are sent when the worker ends.
        async with asyncio.timeout(PATIENCE_S):
            await has_deliver.wait()
    finally:
        await runner.cleanup()

    assert {"job", "prompt", "slot", "host", "deliver"} <= set(received)
