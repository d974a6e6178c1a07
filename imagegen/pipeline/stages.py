"""The stages of a picture's way: measured for Prometheus and the log, and traced as spans."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from imagegen.metrics import PictureStage, PromptTimes
from imagegen.pipeline.context import JobContext
from imagegen.requests.claim import ClaimedRequest


@contextmanager
def traced(context: JobContext, request: ClaimedRequest, *, is_first_try: bool) -> Iterator[None]:
    """Trace the job of a claimed request, in the trace of the bot's turn; count how long it waited.

    A job that takes a request up again has a span beside that of the job before it, and its wait is
    not counted: the request did not only wait until now.
    """
    with context.tracing.span(
        "job",
        parent=request.traceparent,
        request_id=str(request.id),
        kind=request.kind.value,
        persona=context.library.name_of(request.persona),
        state=request.state.value,
    ):
        if is_first_try and not request.draw:
            waited_s = max(0.0, request.age_s)
            context.metrics.passed(PictureStage.WAITING, waited_s, request.stages)
            context.tracing.past_span(
                PictureStage.WAITING.value, began_s_ago=waited_s, ended_s_ago=0.0
            )
        yield


@contextmanager
def stage(
    context: JobContext, request: ClaimedRequest, name: PictureStage, *, host: str | None = None
) -> Iterator[None]:
    """Measure and trace the block as one stage; a block that raises is traced only."""
    with (
        context.tracing.span(name.value, host=host),
        context.metrics.timed(name, request.stages),
    ):
        yield


def prompt_ended(
    context: JobContext, request: ClaimedRequest, host: str, times: PromptTimes, *, end: str
) -> None:
    """Count and trace what a prompt has done on its host; `end` is `drawn`, or why it is not."""
    context.metrics.prompt_ended(host, times, persona=request.persona, end=end)
    parts = [
        (PictureStage.HOST_QUEUE, times.posted_at, times.started_at),
        (PictureStage.LOADING, times.started_at, times.first_step_at),
        (PictureStage.DRAWING, times.first_step_at or times.started_at, times.ended_at),
    ]
    now = asyncio.get_running_loop().time()
    for name, began_at, ended_at in parts:
        if began_at is None or ended_at is None:
            continue
        if end == "drawn":
            context.metrics.passed(name, ended_at - began_at, request.stages)
        context.tracing.past_span(
            name.value, began_s_ago=now - began_at, ended_s_ago=now - ended_at, host=host
        )
