"""Sends a stored picture to its chat, and writes each send down before it is made."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from imagegen import reach
from imagegen.claimed import Claimed, Send
from imagegen.delivery.errors import DeliveryUnknown, FloodWait, OutcomeUnknown
from imagegen.delivery.parcel import Parcel
from imagegen.errors import ImagegenError, Rejected
from imagegen.images import Image
from imagegen.studio import Studio
from imagegen.tables import Outcome

log = structlog.get_logger(__name__)

# Waited for here, since no slot is held; what takes longer goes back to the queue.
_SHORT_WAIT_S = 2.0


async def deliver(studio: Studio, request: Claimed, image: Image) -> None:
    """Send the picture, or leave it to the caller who wants it, and finish the request."""
    if request.chat_id is None:  # the caller fetches it
        await _through(studio.requests.finish(request))
        return
    parcel = _parcel(request, request.chat_id, image, await studio.images.get(image.name))
    await _may_send(studio, request.chat_id)
    send = await studio.ledger.start(request)
    if send.unknown >= studio.most_unknown_sends:
        await studio.ledger.end(send, Outcome.NOT_SENT, "given up")
        raise DeliveryUnknown("nobody can say whether the picture arrived")
    await _send(studio, request, send, parcel)


async def _may_send(studio: Studio, chat_id: int) -> None:
    """Wait a little if Telegram asked for that. Raises FloodWait or TokenRevoked for long waits."""
    if studio.telegram.is_revoked:
        await studio.telegram.probe()
    wait_s = await studio.gate.wait_s(chat_id)
    if wait_s > _SHORT_WAIT_S:
        raise FloodWait(f"Telegram asks to wait {wait_s:.0f} s", retry_after_s=wait_s)
    if wait_s:
        with reach.waiting():
            await asyncio.sleep(wait_s)


async def _send(studio: Studio, request: Claimed, send: Send, parcel: Parcel) -> None:
    await studio.requests.prove(request, proved_at=send.proved_at)
    try:
        receipt = await studio.telegram.send(parcel)
    except ImagegenError as error:
        await studio.ledger.end(send, _outcome(error), error.sentence)
        if isinstance(error, FloodWait) and error.retry_after_s is not None:
            await studio.gate.shut(parcel.chat_id, error.retry_after_s)
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
