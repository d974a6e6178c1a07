"""Sends a stored image to its chat. Each send is a row in `deliveries`, committed before the call."""

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

# A flood wait up to this is waited for here, since the job holds no slot; for a longer one the
# request goes back to the queue.
_SHORT_WAIT_S = 2.0


async def deliver(
    context: JobContext, request: ClaimedRequest, image: StoredImage, *, data: bytes | None = None
) -> None:
    """Send the picture to its chat and finish the request.

    A request without a chat is only finished: the caller of the hook fetches the image. `data` is
    the image's bytes if it was drawn just now. Without them the photo is sent by Telegram's file
    id, or the bytes are read from the store.

    Raises:
        Refused: the picture may not be sent any more.
        ClaimLost: another job has the request, or it has ended.
        DeliveryUnknown: too many sends of this request have an unknown outcome.
        FloodWait: Telegram asks to wait for longer than 2 s.
        WorkerStops: the worker ends during a short flood wait.
        ImageLost: the store has the image no more.
        Unavailable: PostgreSQL, the store or Telegram is away.
        Rejected: Telegram refuses the message or the chat.
    """
    # Read again, since the user may have revoked it after the claim.
    is_age_confirmed = drawn_rating(
        request.drawn_rating
    ) is not Rating.SAFE and await context.requests.has_confirmed_age(request.user_id)
    options = await context.content_policy.delivery_options(
        request, _persona(context, request), is_age_confirmed=is_age_confirmed
    )
    if request.chat_id is None:
        await _run_to_completion(context.requests.finish(request))
        return

    message = _photo_message(request, request.chat_id, image, options)
    if data is None:
        if await _send_by_file_id(context, request, image, message):
            return
        data = await context.images.get(image.name)
    await _send_if_allowed(context, request, replace(message, data=data))


def _persona(context: JobContext, request: ClaimedRequest) -> Persona | None:
    try:
        return context.library.find(request.persona).persona
    except ImagegenError:  # its folder was removed since, but its image is still delivered
        return None


def _photo_message(
    request: ClaimedRequest, chat_id: int, image: StoredImage, options: DeliveryOptions
) -> PhotoMessage:
    return PhotoMessage(
        chat_id=chat_id,
        filename=image.name,
        width=image.width,
        height=image.height,
        caption=request.caption,
        has_spoiler=options.has_spoiler,
        protect_content=options.protect_content,
        reply_to_message_id=request.reply_to_message_id,
        message_thread_id=request.message_thread_id,
    )


async def _send_by_file_id(
    context: JobContext, request: ClaimedRequest, image: StoredImage, message: PhotoMessage
) -> bool:
    """Send the photo that Telegram already has, without an upload; return False if it has none."""
    file_id = await context.image_cache.file_id(request, image, bot_id=context.telegram.bot_id)
    if file_id is None:
        return False
    try:
        await _send_if_allowed(context, request, replace(message, file_id=file_id))
    except FileUnknown as error:
        log.info("photo is uploaded again", why=error.sentence)
        return False
    return True


async def _send_if_allowed(
    context: JobContext, request: ClaimedRequest, message: PhotoMessage
) -> None:
    """Send the message unless Telegram asks to wait, or too many sends have an unknown outcome."""
    await _check_flood_wait(context, message.chat_id)
    send = await context.deliveries.start(request)
    if send.unknown >= context.max_unknown_sends:
        await context.deliveries.end(send, SendOutcome.NOT_SENT, "given up")
        raise DeliveryUnknown("nobody can say whether the picture arrived")
    await _send(context, request, send, message)


async def _check_flood_wait(context: JobContext, chat_id: int) -> None:
    """Wait for a short flood wait; a long one and a revoked token raise FloodWait, TokenRevoked."""
    if context.telegram.is_revoked:
        await context.telegram.probe()
    wait_s = await context.flood_control.wait_s(chat_id)
    if wait_s > _SHORT_WAIT_S:
        raise FloodWait(f"Telegram asks to wait {wait_s:.0f} s", retry_after_s=wait_s)
    if wait_s:
        with shutdown.waiting():
            await asyncio.sleep(wait_s)


async def _send(
    context: JobContext, request: ClaimedRequest, send: DeliveryAttempt, message: PhotoMessage
) -> None:
    await context.requests.check_claim(request, proved_at=send.proved_at)
    try:
        sent_message = await context.telegram.send(message)
    except ImagegenError as error:
        await context.deliveries.end(send, _outcome(error), error.sentence)
        if isinstance(error, FloodWait) and error.retry_after_s is not None:
            await context.flood_control.hold(message.chat_id, error.retry_after_s)
        raise
    # The picture is in the chat: this is written even while the worker stops, so that no other
    # worker sends it again.
    await _run_to_completion(context.requests.finish(request, send=send, receipt=sent_message))
    log.info(
        "picture delivered",
        chat_id=message.chat_id,
        message_id=sent_message.message_id,
        uploaded=len(message.data),
        seconds=round(request.age_s, 1),
    )


def _outcome(error: ImagegenError) -> SendOutcome:
    match error:
        case OutcomeUnknown():
            return SendOutcome.UNKNOWN
        case Rejected():
            return SendOutcome.REFUSED
        case _:
            return SendOutcome.NOT_SENT


async def _run_to_completion(write: Coroutine[Any, Any, None]) -> None:
    """Await a write to its end even when this task is cancelled; then raise the cancellation."""
    task = asyncio.create_task(write, name="last write of a job")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
