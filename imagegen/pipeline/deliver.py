"""Sends a stored image to its chat. Each send is a row in `deliveries`, committed before the call."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import structlog

from chatflow_hook.tables import State
from chatflow_hook.turn import Rating
from imagegen.db.engine import DatabaseRefused
from imagegen.db.tables import SendOutcome
from imagegen.delivery.errors import (
    AnswerUnknown,
    ChatGone,
    DeliveryUnknown,
    FileUnknown,
    FloodWait,
    MessageGone,
    OutcomeUnknown,
    PhotoRefused,
    PlaceRefused,
    SendRefused,
)
from imagegen.delivery.message import PhotoMessage, SentMessage
from imagegen.delivery.photo_encoding import photo_forms
from imagegen.errors import ImagegenError, Rejected, Unavailable, Unexpected
from imagegen.metrics import PictureStage
from imagegen.pipeline import stages
from imagegen.pipeline.content_policy import DeliveryOptions
from imagegen.pipeline.context import JobContext
from imagegen.pipeline.delivery_preparation import DeliveryPreparation, may_exceed_safe
from imagegen.queue import shutdown
from imagegen.requests.claim import ClaimedRequest, ClaimLost, DeliveryAttempt
from imagegen.safety.rating import drawn_rating
from imagegen.safety.refusal import Refused
from imagegen.storage.store import StoredImage

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")

# A flood wait up to this is waited for here, since the job holds no slot; for a longer one the
# request goes back to the queue.
_SHORT_WAIT_S = 2.0
# So many refused sends of one request are no outage of Telegram any more.
_MAX_REFUSED_SENDS = 5
# While PostgreSQL is away, what became of a send is written again after a pause of so long.
_FIRST_PAUSE_S = 0.1
# The first try may have a connection that leads nowhere any more. Another job could send the
# picture again meanwhile, so it is given up early; each further try may take twice as long.
_FIRST_TRY_S = 2.0
_DATABASE_IS_SLOW = Unavailable("the database does not answer in time", code="database_unavailable")
_MAX_PAUSE_S = 2.0
# How often that is logged anew.
_LOGGED_EVERY_S = 60.0


async def deliver(
    context: JobContext,
    request: ClaimedRequest,
    image: StoredImage,
    preparation: DeliveryPreparation,
    *,
    data: tuple[bytes, ...] | None = None,
) -> None:
    """Send the picture to its chat, in place of its status message, and finish the request.

    A request without a chat is only finished: the caller of the hook fetches the image, from the
    worker itself where nothing else serves it. `preparation` may have begun while it was drawn.
    `data` are the bytes of its images, if they were drawn just now. Without them the photos are sent
    by Telegram's file ids, or the bytes are read from the store.

    Raises:
        Refused: the picture may not be sent any more.
        ClaimLost: another job has the request, or it has ended.
        DeliveryUnknown: too many sends of this request have an unknown outcome.
        FloodWait: Telegram asks to wait for longer than 2 s.
        TokenRevoked: Telegram does not accept the bot token.
        TooLate: Telegram asks to wait, and the request is too old.
        WorkerStops: the worker ends during a short flood wait.
        ImageLost: the store has the image no more.
        Unavailable: PostgreSQL, the store or Telegram is away.
        Rejected: Telegram refuses the message or the chat.
    """
    if request.chat_id is not None and (data is None or request.status is not None):
        # Asked first, so that a picture that has to wait is not even read from the store, and its
        # status message stays meanwhile. It is asked again before each send.
        await _wait_until_allowed(context, request, request.chat_id)
    prepared = await preparation.result(request)
    if request.chat_id is None:
        url = _served_url(context, request, image)
        await _run_to_completion(context.requests.mark_delivered(request, url=url))
        _count_delivered(context, request)
        return

    message = replace(
        context.photo_messages.message(
            request, request.chat_id, image, prepared.options, prepared.caption
        ),
        replaces=await _message_to_replace(
            context, request, prepared.options, is_album=bool(image.album)
        ),
    )
    if data is None:
        if await _send_by_file_id(context, request, image, message):
            return
        data = tuple([await context.image_store.get(name) for name in image.names])
    await _send_in_some_form(context, request, message.with_files(data=data))


async def check_flood_wait(
    context: JobContext, request: ClaimedRequest, chat_id: int, *, reserves: bool = False
) -> float:
    """Return for how many seconds, 2 at most, nothing may be sent to a chat; 0 if it may be sent now.

    With `reserves` one picture that may be sent now counts as sent.

    Raises:
        FloodWait: Telegram asks to wait for longer than that.
        TooLate: Telegram asks to wait for longer than that, and the request is too old.
    """
    wait_s = await context.chat_sender.wait_s(chat_id, reserves=reserves)
    if wait_s > _SHORT_WAIT_S:
        raise _flood_wait(context, request, wait_s)
    return wait_s


def _served_url(context: JobContext, request: ClaimedRequest, image: StoredImage) -> str | None:
    """Return the address at which the worker serves an image, None if the store has one or none may.

    Above safe there is none: nobody knows who asks for it.
    """
    if context.image_links is None or context.image_store.url(image.name) is not None:
        return None
    is_safe = drawn_rating(request.drawn_rating) is Rating.SAFE
    return context.image_links.url(request.id) if is_safe else None


async def _message_to_replace(
    context: JobContext, request: ClaimedRequest, options: DeliveryOptions, *, is_album: bool
) -> int | None:
    """Return the id of the status message whose place the picture takes; None for a new message.

    An edit notifies nobody, protects nothing that was not protected before, and makes no album.
    Where one of these matters, the status message is deleted, so that only the picture stays.
    """
    status = request.status
    if status is None:
        return None
    is_editable = status.is_protected or not options.protect_content
    if request.age_s <= context.notify_after_s and is_editable and not is_album:
        return status.message_id
    try:
        await context.chat_sender.delete(request.chat_id or 0, status.message_id)
        await context.requests.note_status(request, None)
    except (Unavailable, Rejected) as error:
        # The row goes on naming it, and it is deleted after the delivery.
        log.info("status message is deleted later", code=error.code, why=error.sentence)
    return None


async def _send_by_file_id(
    context: JobContext, request: ClaimedRequest, image: StoredImage, message: PhotoMessage
) -> bool:
    """Send the photo that Telegram already has, without an upload; return False if it has none.

    Where photos have a mark in the corner, all are uploaded: nobody knows whether a photo that was
    uploaded before has it, and in which language. A file is the original, which no photo is.
    """
    if context.ai_mark.is_in_corner or message.is_document:
        return False
    file_ids = await context.image_cache.file_ids(request, image, bot_id=context.telegram.bot_id)
    if file_ids is None:
        return False
    try:
        await _send_in_topic_or_chat(context, request, message.with_files(file_ids=file_ids))
    except FileUnknown as error:
        log.info("photo is uploaded again", why=error.sentence)
        return False
    return True


async def _send_in_some_form(
    context: JobContext, request: ClaimedRequest, message: PhotoMessage
) -> None:
    """Send the picture in the first form that Telegram accepts."""
    sentence = ""
    async for form in photo_forms(message, mark=context.ai_mark, language=request.language):
        try:
            await _send_in_topic_or_chat(context, request, form)
        except PhotoRefused as error:
            log.info("picture is sent in another form", why=error.sentence)
            sentence = error.sentence
        else:
            return
    raise SendRefused(sentence)


async def _send_in_topic_or_chat(
    context: JobContext, request: ClaimedRequest, message: PhotoMessage
) -> None:
    """Send the message; without its topic and its reply if Telegram does not accept these."""
    try:
        await _send_if_allowed(context, request, message)
    except MessageGone as error:
        log.info("picture is a message of its own", why=error.sentence)
        await _send_in_topic_or_chat(context, request, replace(message, replaces=None))
    except PlaceRefused as error:
        chat_message = replace(message, message_thread_id=None, reply_to_message_id=None)
        if chat_message == message:
            raise ChatGone(error.sentence, code="no_rights") from error
        log.info("picture is sent outside of its topic", why=error.sentence)
        await _send_in_topic_or_chat(context, request, chat_message)


async def _send_if_allowed(
    context: JobContext, request: ClaimedRequest, message: PhotoMessage
) -> None:
    """Send the message unless Telegram asks to wait, or an earlier send has or may have arrived."""
    await _wait_until_allowed(context, request, message.chat_id, reserves=True)
    send = await context.deliveries.start(request, is_edit=message.replaces is not None)
    if send.arrived_as is not None:
        await context.deliveries.record_outcome(send, SendOutcome.NOT_SENT, "it is in the chat")
        receipt = SentMessage(
            chat_id=message.chat_id,
            message_id=send.arrived_as,
            file_id=None,
            bot_id=context.telegram.bot_id,
        )
        await _run_to_completion(context.requests.mark_delivered(request, receipt=receipt))
        _count_delivered(context, request, arrives_now=False)
        return
    # An edit that may have arrived is no second picture: its message is edited again, or gone.
    if send.unknown - send.unknown_edits >= context.max_unknown_sends:
        await context.deliveries.record_outcome(send, SendOutcome.NOT_SENT, "given up")
        raise DeliveryUnknown("nobody can say whether the picture arrived")
    await _send(context, request, send, message)


async def _wait_until_allowed(
    context: JobContext, request: ClaimedRequest, chat_id: int, *, reserves: bool = False
) -> None:
    """Wait for short flood waits; a long one and a revoked token raise FloodWait, TokenRevoked."""
    if context.telegram.is_revoked:
        await context.telegram.probe()
    while wait_s := await check_flood_wait(context, request, chat_id, reserves=reserves):
        with shutdown.waiting():
            await asyncio.sleep(wait_s)


def _flood_wait(context: JobContext, request: ClaimedRequest, wait_s: float) -> FloodWait:
    """Return the error that waits so long, or until the request is too old; raises TooLate if it is."""
    left_s = request.time_left_s(context.max_age_s)
    retry_after_s = wait_s if left_s is None else min(wait_s, left_s)
    return FloodWait(f"Telegram asks to wait {wait_s:.0f} s", retry_after_s=retry_after_s)


async def _send(
    context: JobContext, request: ClaimedRequest, send: DeliveryAttempt, message: PhotoMessage
) -> None:
    try:
        await context.requests.check_claim(request, proved_at=send.proved_at)
        # Asked anew before each send, after all that may have taken time: files, flood waits, rows.
        await context.content_policy.check_age(
            request, may_exceed_safe=await may_exceed_safe(context, request)
        )
        with stages.stage(context, request, PictureStage.DELIVER):
            receipt = await context.chat_sender.send_photo(message)
    except ImagegenError as error:
        flood_wait_s = error.retry_after_s if isinstance(error, FloodWait) else None
        outcome, sentence = _outcome(error), error.sentence
        context.metrics.sent(outcome.value)
        await _patiently(
            context, request, lambda: context.deliveries.record_outcome(send, outcome, sentence)
        )
        if flood_wait_s is not None:
            raise _flood_wait(context, request, flood_wait_s) from error
        if isinstance(error, AnswerUnknown) and send.refused + 1 >= _MAX_REFUSED_SENDS:
            raise SendRefused(sentence) from error
        raise
    # The picture is in the chat: this is written even while the worker stops, so that no other
    # worker sends it again.
    context.metrics.sent("sent", is_resend=send.unknown > send.unknown_edits)
    await _run_to_completion(_record_arrival(context, request, send, receipt))
    _count_delivered(context, request)
    log.info(
        "picture delivered",
        chat_id=message.chat_id,
        message_id=receipt.message_id,
        uploaded=sum(len(each.data) for each in message.files),
        seconds=round(request.age_s, 1),
        stages=request.stages.rounded,
    )


def _count_delivered(
    context: JobContext, request: ClaimedRequest, *, arrives_now: bool = True
) -> None:
    # Covers are drawn ahead of any message, many at once.
    seconds = request.age_s if arrives_now and request.kind.has_dialog else None
    context.metrics.delivered(kind=request.kind.value, persona=request.persona, seconds=seconds)
    context.tracing.note(end=State.DELIVERED.value)


def _outcome(error: ImagegenError) -> SendOutcome:
    match error:
        case OutcomeUnknown():
            return SendOutcome.UNKNOWN
        case Refused():  # by us, and not by Telegram
            return SendOutcome.NOT_SENT
        case Rejected() | AnswerUnknown() | FileUnknown() | PhotoRefused() | PlaceRefused():
            return SendOutcome.REFUSED
        case _:
            return SendOutcome.NOT_SENT


async def _record_arrival(
    context: JobContext, request: ClaimedRequest, send: DeliveryAttempt, receipt: SentMessage
) -> None:
    """Mark the request as delivered; if it is not ours any more, only note which message it is."""
    try:
        await _patiently(
            context,
            request,
            lambda: context.requests.mark_delivered(request, send=send, receipt=receipt),
        )
    except ClaimLost:
        # Cancelled, forgotten or claimed by another job meanwhile. Or it is delivered: the
        # connection broke after the commit, and the transaction was run again.
        is_delivered = await _patiently(
            context, request, lambda: context.deliveries.record_arrival(send, receipt)
        )
        if not is_delivered:
            raise


async def _patiently(
    context: JobContext, request: ClaimedRequest, write: Callable[[], Awaitable[ResultT]]
) -> ResultT:
    """Write what became of a send, again and again while PostgreSQL is away or refuses it.

    This process alone knows it: if it gave up, the picture would count as perhaps sent. Each
    refusal counts for the circuit breaker, so that no more pictures are sent that nobody can write
    down.
    """
    pause_s, try_s, logged_at = _FIRST_PAUSE_S, _FIRST_TRY_S, -math.inf
    while True:
        try:
            async with asyncio.timeout(try_s):
                with context.circuit_breaker.watching(request.id):
                    return await write()
        except (Unavailable, TimeoutError) as error:
            if isinstance(error, Unexpected) and not isinstance(error, DatabaseRefused):
                raise  # a fault of ours, which a repetition does not mend
            if time.monotonic() - logged_at >= _LOGGED_EVERY_S:
                away = error if isinstance(error, Unavailable) else _DATABASE_IS_SLOW
                log.warning("send is written down later", code=away.code, why=away.sentence)
                logged_at = time.monotonic()
        await asyncio.sleep(pause_s)
        pause_s, try_s = min(2 * pause_s, _MAX_PAUSE_S), 2 * try_s


async def _run_to_completion(write: Coroutine[Any, Any, None]) -> None:
    """Await a write to its end even when this task is cancelled; then raise the cancellation."""
    task = asyncio.create_task(write, name="last write of a job")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
