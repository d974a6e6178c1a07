"""make_image: one request, from its row to the photo in the chat."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from arq import Retry

from chatflow_hook.tables import State
from imagegen import lease, pictures, seeds, workflows
from imagegen.claimed import Claimed, ClaimLost, Send
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost
from imagegen.comfy.pool import Pool
from imagegen.delivery.errors import OutcomeUnknown
from imagegen.delivery.parcel import Parcel
from imagegen.delivery.telegram import Telegram
from imagegen.errors import ImagegenError, Rejected, Unavailable
from imagegen.images import Image, ImageStore
from imagegen.live import Live
from imagegen.prompts import template
from imagegen.requests import Requests
from imagegen.tables import Outcome
from imagegen.workflows import BoundGraph, Library

log = structlog.get_logger(__name__)

_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 15.0
# An unknown send is made once more, and no oftener: twice the same picture is a nuisance.
_UNKNOWN_SENDS = 2


@dataclass(frozen=True, kw_only=True)
class Studio:
    """All that a job works with; built and owned by the worker."""

    requests: Requests
    library: Library
    pool: Pool
    images: ImageStore
    telegram: Telegram
    live: Live
    max_age_s: float
    max_attempts: int
    keep_outputs: bool


class TooLate(Rejected):
    """An old picture in a chat that has moved on is worse than none."""

    code = "too_old"


async def make_image(ctx: dict[str, Any], request_id: str) -> str:
    """Carry one request to its end and return the state it is in; arq runs it again on Retry."""
    studio: Studio = ctx["studio"]
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        async with lease.held(ctx["redis"], ctx["job_id"], score=ctx["score"]):
            try:
                return await _carry(studio, UUID(request_id))
            except Unavailable as error:
                delay = _delay(error, ctx["job_try"])
                log.warning("request waits", code=error.code, why=error.sentence, seconds=delay)
                raise Retry(defer=delay) from error


async def _carry(studio: Studio, request_id: UUID) -> str:
    request = await studio.requests.claim(request_id)
    if request is None:
        return "nothing to do"
    try:
        await _make(studio, request)
    except ClaimLost:
        log.warning("request taken by another job")
        return "claim lost"
    except Unavailable as error:
        try:
            may_try_again = await _may_try_again(studio, request, error)
        except ClaimLost:
            return "claim lost"
        if may_try_again:
            raise
        return await _end(studio, request, error)
    except ImagegenError as error:
        return await _end(studio, request, error)
    except Exception:
        log.exception("a fault of ours")
        return await _end(studio, request, ImagegenError("Something went wrong inside."))
    await studio.live.ended(request.id)
    return State.DELIVERED


async def _make(studio: Studio, request: Claimed) -> None:
    _refuse_if_late(studio, request)
    image = request.drawn or await _draw(studio, request)
    await _deliver(studio, request, image)


def _refuse_if_late(studio: Studio, request: Claimed) -> None:
    if studio.max_age_s and request.age_s > studio.max_age_s:
        raise TooLate(f"the chat has moved on for {request.age_s:.0f} s")


async def _draw(studio: Studio, request: Claimed) -> Image:
    graph = _graph(studio, request)
    async with studio.pool.lease(graph.needs.model_set) as host:
        _refuse_if_late(studio, request)  # a slot may be long in coming
        log.info("using host", host=host.name, persona=request.persona)
        prompt_id = await studio.requests.start_drawing(request, host=host.name, seed=graph.seed)
        async with studio.live.drawing(request.id, host.name) as note:
            await host.draw(graph.graph, str(prompt_id), on_progress=note)
    log.info("prompt completed", host=host.name, prompt_id=str(prompt_id))
    return await _fetch(studio, request, host, str(prompt_id), graph.output_node)


def _graph(studio: Studio, request: Claimed) -> BoundGraph:
    workflow = studio.library.find(request.persona)
    return workflows.bind(
        workflow,
        prompt=template.write(workflow.persona, request.words),
        seed=seeds.of_dialog(request.dialog_id, request.message_count),
        prefix=f"chatflow/{request.id}",
        keep_outputs=studio.keep_outputs,
    )


async def _fetch(
    studio: Studio, request: Claimed, host: HostClient, prompt_id: str, node: str
) -> Image:
    files = await host.pictures(prompt_id, node)
    data = await host.fetch(files[0])
    picture = await asyncio.to_thread(pictures.read, data)
    log.info("picture drawn", host=host.name, prompt_id=prompt_id, bytes=len(picture.data))
    image = await studio.images.put(picture)
    await studio.requests.keep(request, image, url=studio.images.url(image.name))
    await _forget(host, prompt_id)
    return image


async def _forget(host: HostClient, prompt_id: str) -> None:
    try:
        await host.forget(prompt_id)
    except HostLost as error:
        log.warning("history entry left behind", host=host.name, why=error.sentence)


async def _deliver(studio: Studio, request: Claimed, image: Image) -> None:
    if request.chat_id is None:  # the caller fetches it
        await _through(studio.requests.finish(request))
        return
    parcel = _parcel(request, request.chat_id, image, await studio.images.get(image.name))
    send = await studio.requests.start_send(request)
    if send.unknown >= _UNKNOWN_SENDS:
        await studio.requests.end_send(send, Outcome.NOT_SENT, "given up")
        raise Rejected("nobody can say whether the picture arrived", code="delivery_unknown")
    await _send(studio, request, send, parcel)


async def _send(studio: Studio, request: Claimed, send: Send, parcel: Parcel) -> None:
    try:
        receipt = await studio.telegram.send(parcel)
    except ImagegenError as error:
        await studio.requests.end_send(send, _outcome(error), error.sentence)
        raise
    # It is in the chat: that is written down even while the worker stops.
    await _through(studio.requests.finish(request, send=send, receipt=receipt))
    log.info(
        "picture delivered",
        chat_id=parcel.chat_id,
        message_id=receipt.message_id,
        bytes=len(parcel.data),
        seconds=round(request.age_s, 1),
    )


def _parcel(request: Claimed, chat_id: int, image: Image, data: bytes) -> Parcel:
    return Parcel(
        chat_id=chat_id,
        data=data,
        filename=image.name,
        width=image.width,
        height=image.height,
        caption=request.caption,
        has_spoiler=request.has_spoiler,
        reply_to_message_id=request.reply_to_message_id,
        message_thread_id=request.message_thread_id,
    )


def _outcome(error: ImagegenError) -> Outcome:
    match error:
        case OutcomeUnknown():
            return Outcome.UNKNOWN
        case Rejected():
            return Outcome.REFUSED
        case _:
            return Outcome.NOT_SENT


async def _may_try_again(studio: Studio, request: Claimed, error: Unavailable) -> bool:
    attempts = await studio.requests.put_back(request, costs_an_attempt=error.costs_an_attempt)
    return attempts < studio.max_attempts


async def _end(studio: Studio, request: Claimed, error: ImagegenError) -> str:
    state = State.EXPIRED if isinstance(error, TooLate) else State.FAILED
    try:
        await studio.requests.end(request, state, error)
    except ClaimLost:
        return "claim lost"
    await studio.live.ended(request.id)
    log.error("request ended", state=state.value, code=error.code, why=error.sentence)
    return state


async def _through(step: Coroutine[Any, Any, None]) -> None:
    """Await a step to its end even when cancelled, then let the cancellation go on."""
    task = asyncio.create_task(step, name="last write of a job")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _delay(error: Unavailable, tries: int) -> float:
    if error.retry_after_s is not None:
        return error.retry_after_s
    return min(_FIRST_DELAY_S * 2.0 ** min(tries - 1, 16), _LONGEST_DELAY_S)
