"""Sends a stored picture to its chat, and writes each send down before it is made."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import structlog

from chatflow_hook.turn import Rating
from imagegen.db.tables import SendOutcome
from imagegen.delivery.errors import DeliveryUnknown, FileUnknown, FloodWait, OutcomeUnknown
from imagegen.delivery.message import PhotoMessage
from imagegen.errors import ImagegenError, Rejected
from imagegen.pipeline.content_policy import DeliveryOptions
from imagegen.pipeline.context import JobContext
from imagegen.queue import shutdown
from imagegen.requests.claim import ClaimedRequest, DeliveryAttempt
from imagegen.safety.rating import drawn_rating
from imagegen.storage.store import StoredImage
from imagegen.workflows.persona import Persona

log = structlog.get_logger(__name__)

# Waited for here, since no slot is held; what takes longer goes back to the queue.
_SHORT_WAIT_S = 2.0


async def deliver(
    context: JobContext, request: ClaimedRequest, image: StoredImage, *, data: bytes | None = None
) -> None:
    """Send the picture, or leave it to the caller who wants it, and finish the request.

    `data` is at hand if the picture was drawn just now; else it may be known to Telegram, or is
    read from the store. Raises Refused if it may not be sent any more.
    """
    # Asked anew: it may have been revoked since the claim.
    is_age_confirmed = drawn_rating(
        request.drawn_rating
    ) is not Rating.SAFE and await context.requests.has_confirmed_age(request.user_id)
    wrapping = await context.content_policy.delivery_options(
        request, _persona(context, request), is_age_confirmed=is_age_confirmed
    )
    if request.chat_id is None:  # the caller fetches it
        await _finished_even_if_cancelled(context.requests.finish(request))
        return
    parcel = _message(request, request.chat_id, image, wrapping)
    if data is None:
        if await _was_sent_again(context, request, image, parcel):
            return
        data = await context.images.get(image.name)
    await _attempt(context, request, replace(parcel, data=data))


async def _was_sent_again(
    context: JobContext, request: ClaimedRequest, image: StoredImage, parcel: PhotoMessage
) -> bool:
    """Send the photo that Telegram has of the picture, with no upload; False if it has none."""
    file_id = await context.image_cache.file_id(request, image, bot_id=context.telegram.bot_id)
    if file_id is None:
        return False
    try:
        await _attempt(context, request, replace(parcel, file_id=file_id))
    except FileUnknown as error:
        log.info("photo is uploaded again", why=error.sentence)
        return False
    return True


async def _attempt(context: JobContext, request: ClaimedRequest, parcel: PhotoMessage) -> None:
    await _check_flood_wait(context, parcel.chat_id)
    send = await context.deliveries.start(request)
    if send.unknown >= context.most_unknown_sends:
        await context.deliveries.end(send, SendOutcome.NOT_SENT, "given up")
        raise DeliveryUnknown("nobody can say whether the picture arrived")
    await _send(context, request, send, parcel)


async def _check_flood_wait(context: JobContext, chat_id: int) -> None:
    """Wait a little if Telegram asked for that. Raises FloodWait or TokenRevoked for long waits."""
    if context.telegram.is_revoked:
        await context.telegram.probe()
    wait_s = await context.flood_control.wait_s(chat_id)
    if wait_s > _SHORT_WAIT_S:
        raise FloodWait(f"Telegram asks to wait {wait_s:.0f} s", retry_after_s=wait_s)
    if wait_s:
        with shutdown.waiting():
            await asyncio.sleep(wait_s)


async def _send(
    context: JobContext, request: ClaimedRequest, send: DeliveryAttempt, parcel: PhotoMessage
) -> None:
    await context.requests.check_claim(request, proved_at=send.proved_at)
    try:
        receipt = await context.telegram.send(parcel)
    except ImagegenError as error:
        await context.deliveries.end(send, _outcome(error), error.sentence)
        if isinstance(error, FloodWait) and error.retry_after_s is not None:
            await context.flood_control.hold(parcel.chat_id, error.retry_after_s)
        raise
    # It is in the chat: that is written down even while the worker stops.
    await _finished_even_if_cancelled(context.requests.finish(request, send=send, receipt=receipt))
    log.info(
        "picture delivered",
        chat_id=parcel.chat_id,
        message_id=receipt.message_id,
        uploaded=len(parcel.data),
        seconds=round(request.age_s, 1),
    )


def _persona(context: JobContext, request: ClaimedRequest) -> Persona | None:
    try:
        return context.library.find(request.persona).persona
    except ImagegenError:  # its folder is gone since, and what it drew is not
        return None


def _message(
    request: ClaimedRequest, chat_id: int, image: StoredImage, wrapping: DeliveryOptions
) -> PhotoMessage:
    return PhotoMessage(
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


def _outcome(error: ImagegenError) -> SendOutcome:
    match error:
        case OutcomeUnknown():
            return SendOutcome.UNKNOWN
        case Rejected():
            return SendOutcome.REFUSED
        case _:
            return SendOutcome.NOT_SENT


async def _finished_even_if_cancelled(step: Coroutine[Any, Any, None]) -> None:
    """Await a step to its end even when cancelled, then let the cancellation go on."""
    task = asyncio.create_task(step, name="last write of a job")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
