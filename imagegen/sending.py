"""Sends a stored picture to its chat, and writes each send down before it is made."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from imagegen.claimed import Claimed, Send
from imagegen.delivery.errors import OutcomeUnknown
from imagegen.delivery.parcel import Parcel
from imagegen.errors import ImagegenError, Rejected
from imagegen.images import Image
from imagegen.studio import Studio
from imagegen.tables import Outcome

log = structlog.get_logger(__name__)

# An unknown send is made once more, and no oftener: twice the same picture is a nuisance.
_UNKNOWN_SENDS = 2


async def deliver(studio: Studio, request: Claimed, image: Image) -> None:
    """Send the picture, or leave it to the caller who wants it, and finish the request."""
    if request.chat_id is None:  # the caller fetches it
        await _through(studio.requests.finish(request))
        return
    parcel = _parcel(request, request.chat_id, image, await studio.images.get(image.name))
    send = await studio.ledger.start(request)
    if send.unknown >= _UNKNOWN_SENDS:
        await studio.ledger.end(send, Outcome.NOT_SENT, "given up")
        raise Rejected("nobody can say whether the picture arrived", code="delivery_unknown")
    await _send(studio, request, send, parcel)


async def _send(studio: Studio, request: Claimed, send: Send, parcel: Parcel) -> None:
    await studio.requests.prove(request, proved_at=send.proved_at)
    try:
        receipt = await studio.telegram.send(parcel)
    except ImagegenError as error:
        await studio.ledger.end(send, _outcome(error), error.sentence)
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


async def _through(step: Coroutine[Any, Any, None]) -> None:
    """Await a step to its end even when cancelled, then let the cancellation go on."""
    task = asyncio.create_task(step, name="last write of a job")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
