"""How a request ends, each end in one transaction: delivered, or without a picture."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Update, bindparam, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook import user_erasure
from chatflow_hook.albums import images_of
from chatflow_hook.tables import OPEN, Dialog, ImageRequest, State
from chatflow_hook.turn import storable
from imagegen.db.tables import StrayPrompt
from imagegen.delivery.errors import DeliveryUnknown
from imagegen.delivery.message import SentMessage
from imagegen.errors import ImagegenError
from imagegen.requests.claim import ClaimedRequest, DeliveryAttempt
from imagegen.requests.deliveries import mark_sent, move_watermark, settle_earlier_sends
from imagegen.requests.state_changes import advance

# Lock the dialog before the request, in the same order as the hook, or the two could deadlock.
_LOCK_DIALOG = (
    select(Dialog.id).where(Dialog.id == bindparam("dialog_id")).with_for_update(key_share=True)
)
# Locked, so that a job which has lost the request writes down an arrival before or after its end.
_LOCK_IMAGE = (
    select(ImageRequest.image, ImageRequest.album_images)
    .where(ImageRequest.id == bindparam("request_id"))
    .with_for_update(key_share=True)
)
# A picture that was sent from memory, or was never fetched, has left its prompt on the host.
_ADD_STRAY_WITHOUT_IMAGE = (
    postgresql.insert(StrayPrompt)
    .from_select(
        ["prompt_id", "host"],
        select(ImageRequest.prompt_id, ImageRequest.host).where(
            ImageRequest.id == bindparam("request_id"),
            ImageRequest.prompt_id.is_not(None),
            ImageRequest.host.is_not(None),
            ImageRequest.image.is_(None),
        ),
    )
    .on_conflict_do_nothing()
)


@dataclass(frozen=True, kw_only=True)
class EndAsDelivered:
    """The end of a request whose picture has arrived, or is fetched by its caller.

    `send` and `receipt` are None if the caller fetches it. `url` is where the worker serves it, None
    if it does not. `keeps_own_prompt`: the bot's own words stay, so that the picture can be varied.
    """

    send: DeliveryAttempt | None
    receipt: SentMessage | None
    url: str | None
    keeps_own_prompt: bool

    async def write(self, connection: AsyncConnection, request: ClaimedRequest) -> None:
        """End the request, and move the dialog's watermark; does not commit.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        receipt = self.receipt
        served_at: dict[str, Any] = {} if self.url is None else {"image_url": self.url}
        await lock_dialog(connection, request)
        await advance(
            connection,
            request,
            State.DELIVERED,
            conversation=request.own_prompt_alone if self.keeps_own_prompt else None,
            # Another one if the group has become a supergroup.
            chat_id=request.chat_id if receipt is None else receipt.chat_id,
            telegram_message_id=receipt and receipt.message_id,
            telegram_bot_id=receipt and receipt.bot_id,
            telegram_file_id=receipt and receipt.file_id,
            album_file_ids=receipt and (list(receipt.album_file_ids) or None),
            **served_at,
        )
        await _leave_no_prompt(connection, request)
        if self.send is not None and receipt is not None:
            await mark_sent(connection, self.send, receipt)
            if receipt.chat_id != request.chat_id:
                await connection.execute(_moved_chat(request, receipt.chat_id))
        if request.kind.moves_watermark:
            await move_watermark(connection, request)


@dataclass(frozen=True, kw_only=True)
class EndWithoutPicture:
    """The end of a request that failed, was refused, or took too long.

    `keeps_conversation`: a failed one keeps what people wrote, so that an operator can retry it.
    """

    state: State
    error: ImagegenError
    keeps_conversation: bool

    async def write(
        self, connection: AsyncConnection, request: ClaimedRequest
    ) -> ImagegenError | None:
        """End the request unless one of its sends has or may have arrived; does not commit.

        Returns the error that it ends with, None if a send is known to have arrived.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        await lock_dialog(connection, request)
        images = images_of(await connection.execute(_LOCK_IMAGE, {"request_id": request.id}))
        sends = await settle_earlier_sends(connection, request.id)
        if sends.arrived_as is not None:
            await _finish_arrived(connection, request, message_id=sends.arrived_as)
            return None
        ending, end_state = self.error, self.state
        if sends.unknown and not isinstance(self.error, DeliveryUnknown):
            sentence = f"nobody can say whether the picture arrived; then: {self.error.sentence}"
            ending, end_state = DeliveryUnknown(sentence), State.FAILED
        values: dict[str, Any] = {
            "error_code": ending.code,
            "error_sentence": storable(ending.sentence),
        }
        is_refused = self.state is State.REFUSED
        if is_refused or end_state is not State.FAILED or not self.keeps_conversation:
            values["conversation"] = None
        if is_refused:
            values |= {"image": None, "album_images": None, "image_url": None}
        await _leave_no_prompt(connection, request)
        await advance(connection, request, end_state, **values)
        if is_refused:
            await user_erasure.note_images(connection, images)
        if sends.unknown and request.kind.moves_watermark:
            await move_watermark(connection, request)
        return ending


async def lock_dialog(connection: AsyncConnection, request: ClaimedRequest) -> None:
    """Lock the dialog of a request, before the request itself, until the transaction ends."""
    await connection.execute(_LOCK_DIALOG, {"dialog_id": request.dialog_id})


async def _finish_arrived(
    connection: AsyncConnection, request: ClaimedRequest, *, message_id: int
) -> None:
    # Out of any state: the send may have been that of a job which died before it was known.
    await advance(
        connection,
        request,
        State.DELIVERED,
        out_of=OPEN,
        conversation=None,
        telegram_message_id=message_id,
    )
    await _leave_no_prompt(connection, request)
    if request.kind.moves_watermark:
        await move_watermark(connection, request)


async def _leave_no_prompt(connection: AsyncConnection, request: ClaimedRequest) -> None:
    """List the prompt of a request that ends as a stray, if no image of it is stored."""
    await connection.execute(_ADD_STRAY_WITHOUT_IMAGE, {"request_id": request.id})


def _moved_chat(request: ClaimedRequest, chat_id: int) -> Update:
    # The group has become a supergroup, so its other open requests must go to the new chat too.
    return (
        update(ImageRequest)
        .where(ImageRequest.chat_id == request.chat_id, ImageRequest.state.in_(OPEN))
        .values(chat_id=chat_id)
    )
