"""make_image: one request, from its row to the photo in the chat."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog
from arq import Retry

from chatflow_hook.tables import State
from imagegen import logs
from imagegen.errors import ImagegenError, Unavailable
from imagegen.pipeline import deliver
from imagegen.pipeline.context import JobContext
from imagegen.pipeline.generate import ImageGeneration
from imagegen.queue import job_lease
from imagegen.queue.shutdown import WorkerStops
from imagegen.requests.claim import ClaimedRequest, ClaimLost, TooLate
from imagegen.safety.rating import Refused
from imagegen.storage.store import StoredImage

log = structlog.get_logger(__name__)

_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 15.0
# What a job that has to go may take for its last write.
_LET_GO_S = 2.0


async def make_image(ctx: dict[str, Any], request_id: str) -> str:
    """Carry one request to its end and return the state it is in; arq runs it again on Retry."""
    context: JobContext = ctx["context"]
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        async with job_lease.held(
            ctx["redis"], ctx["job_id"], score=ctx["score"], lease_s=context.lease_s
        ):
            try:
                return await _carry(context, UUID(request_id))
            except Unavailable as error:
                delay = _delay(error, ctx["job_try"])
                log.log(
                    error.level,
                    "request waits",
                    code=error.code,
                    why=error.sentence,
                    seconds=delay,
                )
                raise Retry(defer=delay) from error


async def _carry(context: JobContext, request_id: UUID) -> str:
    request = await context.requests.claim(request_id)
    if request is None:
        return "nothing to do"
    try:
        async with context.quarantine.admitted(request.crashes):
            await _make(context, request)
    except ClaimLost:
        log.warning("request taken by another job")
        return "claim lost"
    except (WorkerStops, asyncio.CancelledError):
        await _let_go(context, request)
        raise
    except Unavailable as error:
        try:
            may_try_again = await _may_try_again(context, request, error)
        except ClaimLost:
            return "claim lost"
        if may_try_again:
            raise
        return await _end(context, request, error)
    except ImagegenError as error:
        return await _end(context, request, error)
    except Exception as error:  # noqa: BLE001 (the one place: a fault of ours ends one request)
        # Without its message, which may quote what people wrote.
        log.error("a fault of ours", error=type(error).__name__, at=logs.places(error))  # noqa: TRY400
        return await _end(context, request, ImagegenError("Something went wrong inside."))
    return State.DELIVERED


async def _make(context: JobContext, request: ClaimedRequest) -> None:
    if request.drawn is None or not context.telegram.is_revoked:  # then pictures are kept
        request.time_left_s(context.max_age_s)
    if request.drawn is not None:
        await _deliver(context, request, request.drawn)
        return
    generation = ImageGeneration(context, request)
    image = await generation.run()
    await _deliver(context, generation.request, image, data=generation.data)
    # Last: the person in the chat has no use for a tidy host. Whoever does not come as far as
    # this leaves the prompt listed as a stray, and it is cleared a little later.
    try:
        await generation.clean_up_host()
    except Unavailable as error:
        log.warning("prompt not cleared", code=error.code, why=error.sentence)


async def _deliver(
    context: JobContext, request: ClaimedRequest, image: StoredImage, *, data: bytes | None = None
) -> None:
    await deliver.deliver(context, request, image, data=data)
    await context.progress.ended(request.id)


async def _let_go(context: JobContext, request: ClaimedRequest) -> None:
    """Leave the request to another job, which goes on with what stands on its host."""
    with suppress(ClaimLost, Unavailable, TimeoutError):
        async with asyncio.timeout(_LET_GO_S):
            await context.requests.put_back(request)


async def _may_try_again(context: JobContext, request: ClaimedRequest, error: Unavailable) -> bool:
    return await context.requests.put_back(
        request, costs_an_attempt=error.costs_an_attempt, most_attempts=context.max_attempts
    )


async def _end(context: JobContext, request: ClaimedRequest, error: ImagegenError) -> str:
    state = _end_of(error)
    try:
        if request.prompt_id is not None and request.drawn is None:
            # An earlier job's: whatever became of it, nobody will ask for its picture.
            await context.requests.add_stray(request)
        await context.requests.end(request, state, error)
    except ClaimLost:
        return "claim lost"
    await context.progress.ended(request.id)
    log.log(error.level, "request ended", state=state.value, code=error.code, why=error.sentence)
    return state


def _end_of(error: ImagegenError) -> State:
    match error:
        case TooLate():
            return State.EXPIRED
        case Refused():
            return State.REFUSED
        case _:
            return State.FAILED


def _delay(error: Unavailable, tries: int) -> float:
    if error.retry_after_s is not None:
        return error.retry_after_s
    return min(_FIRST_DELAY_S * 2.0 ** min(tries - 1, 16), _LONGEST_DELAY_S)
