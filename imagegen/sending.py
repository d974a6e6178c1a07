"""Sends a stored picture to its chat, and writes each send down before it is made."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import structlog

from imagegen import reach
from imagegen.db.tables import Outcome
from imagegen.delivery.errors import DeliveryUnknown, FileUnknown, FloodWait, OutcomeUnknown
from imagegen.delivery.parcel import Parcel
from imagegen.director import Wrapping
from imagegen.errors import ImagegenError, Rejected
from imagegen.requests.claim import ClaimedRequest, DeliveryAttempt
from imagegen.storage.store import StoredImage
from imagegen.studio import Studio
from imagegen.workflows.persona import Persona

log = structlog.get_logger(__name__)

# Waited for here, since no slot is held; what takes longer goes back to the queue.
_SHORT_WAIT_S = 2.0


async def deliver(
    studio: Studio, request: ClaimedRequest, image: StoredImage, *, data: bytes | None = None
) -> None:
    """Send the picture, or leave it to the caller who wants it, and finish the request.

    `data` is at hand if the picture was drawn just now; else it may be known to Telegram, or is
    read from the store. Raises Refused if it may not be sent any more.
    """
    wrapping = await studio.director.may_send(request, _persona(studio, request))
    if request.chat_id is None:  # the caller fetches it
        await _through(studio.requests.finish(request))
        return
    parcel = _parcel(request, request.chat_id, image, wrapping)
    if data is None:
        if await _was_sent_again(studio, request, image, parcel):
            return
        data = await studio.images.get(image.name)
    await _attempt(studio, request, replace(parcel, data=data))


async def _was_sent_again(
    studio: Studio, request: ClaimedRequest, image: StoredImage, parcel: Parcel
) -> bool:
    """Send the photo that Telegram has of the picture, with no upload; False if it has none."""
    file_id = await studio.reuse.file_id(request, image, bot_id=studio.telegram.bot_id)
    if file_id is None:
        return False
    try:
        await _attempt(studio, request, replace(parcel, file_id=file_id))
    except FileUnknown as error:
        log.info("photo is uploaded again", why=error.sentence)
        return False
    return True


async def _attempt(studio: Studio, request: ClaimedRequest, parcel: Parcel) -> None:
    await _may_send(studio, parcel.chat_id)
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


async def _send(
    studio: Studio, request: ClaimedRequest, send: DeliveryAttempt, parcel: Parcel
) -> None:
    await studio.requests.check_claim(request, proved_at=send.proved_at)
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
        uploaded=len(parcel.data),
        seconds=round(request.age_s, 1),
    )


def _persona(studio: Studio, request: ClaimedRequest) -> Persona | None:
    try:
        return studio.library.find(request.persona).persona
    except ImagegenError:  # its folder is gone since, and what it drew is not
        return None


def _parcel(
    request: ClaimedRequest, chat_id: int, image: StoredImage, wrapping: Wrapping
) -> Parcel:
    return Parcel(
        chat_id=chat_id,
        filename=image.name,
        width=image.width,
        height=image.height,
        caption=request.caption,
        has_spoiler=wrapping.has_spoiler,
        protect_content=wrapping.protect_content,
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
