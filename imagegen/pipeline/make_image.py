"""make_image: the arq job that brings one request from its row to the photo in the chat."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

import structlog
from arq import Retry

from chatflow_hook.tables import State
from imagegen.comfy.errors import OutOfMemory
from imagegen.errors import ImagegenError, Rejected, Unavailable, Unexpected
from imagegen.pipeline import deliver, delivery_preparation, stages
from imagegen.pipeline.chat_progress import RequestProgress
from imagegen.pipeline.context import JobContext
from imagegen.pipeline.delivery_preparation import DeliveryPreparation
from imagegen.pipeline.generate import ImageGeneration
from imagegen.queue import job_lease, shutdown
from imagegen.queue.shutdown import WorkerStops
from imagegen.requests.claim import ClaimedRequest, ClaimLost, TooLate
from imagegen.safety.refusal import Refused
from imagegen.storage.store import StoredImage

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")

_FIRST_RETRY_DELAY_S = 0.5
_MAX_RETRY_DELAY_S = 15.0
# The waits between the tries to write what became of a request while PostgreSQL is away.
_FIRST_PAUSE_S = 0.1
_MAX_PAUSE_S = 2.0
# How long a cancelled job may take to put its request back.
_PUT_BACK_WITHIN_S = 2.0


async def make_image(ctx: dict[str, Any], request_id: str, *_: object, **__: object) -> str:
    """Bring one request to its end, and return its state or why there was nothing to do.

    Arguments that only a newer hook gives are ignored: the row says all that has to be known.
    May run twice at a time for one request: the claim decides which run may write. On an outage it
    raises arq's Retry, and arq runs the job again after the delay.
    """
    context: JobContext = ctx["context"]
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        async with job_lease.held(
            ctx["redis"], ctx["job_id"], score=ctx["score"], lease_s=context.lease_s
        ):
            try:
                is_first_try = ctx["job_try"] == 1
                return await _process(context, UUID(request_id), is_first_try=is_first_try)
            except Unavailable as error:
                context.metrics.retried(error.code)
                delay_s = _retry_delay_s(
                    error, ctx["job_try"], memory_retry_s=context.memory_retry_s
                )
                log.log(
                    error.level,
                    "request waits",
                    code=error.code,
                    why=error.sentence,
                    seconds=delay_s,
                )
                await context.progress.waits(
                    UUID(request_id), code=error.code, why=error.sentence, for_s=delay_s
                )
                raise Retry(defer=delay_s) from error


async def _process(context: JobContext, request_id: UUID, *, is_first_try: bool) -> str:
    """Claim the request, draw and deliver it, and record how it ended or that it goes back."""
    breaker = context.circuit_breaker
    with breaker.watching(request_id):
        await context.pause_gate.check(request_id)
        request = await context.requests.claim(request_id)
    if request is None:
        return "nothing to do"
    with stages.traced(context, request, is_first_try=is_first_try):
        return await _process_claimed(context, request)


async def _process_claimed(context: JobContext, request: ClaimedRequest) -> str:
    breaker = context.circuit_breaker
    try:
        try:
            with breaker.watching(request.id):
                async with context.quarantine.admitted(request):
                    if request.is_suspect:
                        await context.requests.end_wait(request)
                    await _generate_and_deliver(context, request)
        except (ClaimLost, WorkerStops):
            raise
        except ImagegenError as error:
            with breaker.watching(request.id):
                state = await _record_failure(context, request, error)
            if state is None:
                raise
            return state
    except ClaimLost as lost:
        # It may have been cancelled, or its user erased, which is nothing to look at.
        log.info("claim lost", why=lost.sentence)
        return await _let_go(context, request)
    except (WorkerStops, asyncio.CancelledError):
        await _put_back_in_time(context, request)
        raise
    breaker.succeeded()
    return State.DELIVERED


async def _generate_and_deliver(context: JobContext, request: ClaimedRequest) -> None:
    if request.has_unread_turns:
        await context.turn_reader.catch_up(request.id)
        may_exceed_safe = await context.requests.may_exceed_safe(request)
        request = replace(request, may_exceed_safe=may_exceed_safe)
    async with context.chat_progress.showing(request) as chat_progress:
        await _make(context, request, chat_progress)


async def _make(
    context: JobContext, request: ClaimedRequest, chat_progress: RequestProgress
) -> None:
    # While the bot's token is revoked, images that are drawn are kept until it works again.
    if request.drawn is None or not context.telegram.is_revoked:
        context.pause_gate.check_still_wanted(request)
    async with delivery_preparation.preparing(context) as preparation:
        if request.drawn is None:
            await _draw_and_deliver(context, request, chat_progress, preparation)
        else:
            await _deliver(context, request, request.drawn, chat_progress, preparation)


async def _draw_and_deliver(
    context: JobContext,
    request: ClaimedRequest,
    chat_progress: RequestProgress,
    preparation: DeliveryPreparation,
) -> None:
    if request.prompt_id is not None and request.chat_id is not None:
        # The prompt may be that of a picture which could not be stored: while it may not be sent,
        # it is not fetched from its host again.
        await deliver.check_flood_wait(context, request, request.chat_id)
    generation = ImageGeneration(context, request, chat_progress, on_begin=preparation.begin)
    image = await generation.run()
    try:
        await _deliver(
            context, generation.request, image, chat_progress, preparation, data=generation.data
        )
    except Rejected:
        await _clean_up_host(generation)
        raise
    # Last, since the person in the chat need not wait for it. If a job ends before this, its
    # prompt is listed as a stray, and the stray clean-up removes it a little later.
    await _clean_up_host(generation)


async def _clean_up_host(generation: ImageGeneration) -> None:
    try:
        await generation.clean_up_host()
    except Unavailable as error:
        log.warning("prompt not cleared", code=error.code, why=error.sentence)


async def _deliver(  # noqa: PLR0913 (the last by name)
    context: JobContext,
    request: ClaimedRequest,
    image: StoredImage,
    chat_progress: RequestProgress,
    preparation: DeliveryPreparation,
    *,
    data: tuple[bytes, ...] | None = None,
) -> None:
    await chat_progress.finish()
    request = request.with_status(chat_progress.status)
    with context.chat_sender.picture_first(request.chat_id):
        await deliver.deliver(context, request, image, preparation, data=data)
    await context.progress.ended(request.id)


async def _record_failure(
    context: JobContext, request: ClaimedRequest, error: ImagegenError
) -> State | None:
    """Put the request back or end it; return the state in which it has ended, None if in none.

    Raises:
        ClaimLost: another job has claimed the request, or it has ended.
        WorkerStops: the worker ends while PostgreSQL is away.
        DatabaseRefused: PostgreSQL refuses the write.
    """
    if isinstance(error, Unavailable):
        costs_an_attempt = error.costs_an_attempt
        is_put_back = await _when_postgresql_is_back(
            lambda: context.requests.put_back(
                request, costs_an_attempt=costs_an_attempt, most_attempts=context.max_attempts
            )
        )
        if is_put_back:
            return None
    return await _when_postgresql_is_back(lambda: _end(context, request, error))


async def _when_postgresql_is_back(write: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Write what became of a request, again and again while PostgreSQL is away.

    A claim that stayed in the row would count as a crash of the request.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await write()
        except Unexpected:
            raise
        except Unavailable as error:
            if pause_s == _FIRST_PAUSE_S:
                log.warning("request is let go later", code=error.code, why=error.sentence)
        with shutdown.waiting():
            await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _MAX_PAUSE_S)


async def _put_back_in_time(context: JobContext, request: ClaimedRequest) -> None:
    """Put the request back, so that another job continues with the prompt on its host.

    If that fails or takes longer than 2 s, the expired lease lets another job take it.
    """
    with suppress(ClaimLost, Unavailable, TimeoutError):
        async with asyncio.timeout(_PUT_BACK_WITHIN_S):
            await context.requests.put_back(request)


async def _let_go(context: JobContext, request: ClaimedRequest) -> str:
    """Erase what this job has published of a request that is not its own any more.

    Its user may have been erased meanwhile. Another job that has the request publishes anew.
    """
    await context.progress.ended(request.id)
    await context.end_notices.tell(request.id)
    return "claim lost"


async def _end(context: JobContext, request: ClaimedRequest, error: ImagegenError) -> State:
    ending = await context.requests.end_without_picture(request, final_state(error), error)
    await context.progress.ended(request.id)
    await context.end_notices.tell(request.id)
    if ending is None:
        log.info("picture is in the chat already", code=error.code, why=error.sentence)
        context.metrics.delivered(kind=request.kind.value, persona=request.persona, seconds=None)
        return State.DELIVERED
    state = final_state(ending)
    context.metrics.ended(
        kind=request.kind.value, persona=request.persona, end=state.value, code=ending.code
    )
    context.tracing.note(end=state.value, code=ending.code)
    log.log(ending.level, "request ended", state=state.value, code=ending.code, why=ending.sentence)
    return state


def final_state(error: ImagegenError) -> State:
    """Return the state in which a request ends with this error."""
    match error:
        case TooLate():
            return State.EXPIRED
        case Refused():
            return State.REFUSED
        case _:
            return State.FAILED


def _retry_delay_s(error: Unavailable, tries: int, *, memory_retry_s: float) -> float:
    if isinstance(error, OutOfMemory):
        return memory_retry_s
    if error.retry_after_s is not None:
        return error.retry_after_s
    return min(_FIRST_RETRY_DELAY_S * 2.0 ** min(tries - 1, 16), _MAX_RETRY_DELAY_S)
