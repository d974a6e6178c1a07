"""How a request ends, each end in one transaction: delivered, or without a picture."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Select, Text, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import user_erasure
from chatflow_hook.albums import images_of
from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.tables import OPEN, Dialog, ImageRequest, State
from chatflow_hook.turn import storable
from imagegen.delivery.errors import DeliveryUnknown
from imagegen.delivery.message import SentMessage
from imagegen.errors import ImagegenError
from imagegen.requests.claim import ClaimedRequest, DeliveryAttempt
from imagegen.requests.deliveries import (
    MARK_SENT,
    move_watermark,
    sent_values,
    settle_earlier_sends,
    watermark_moved,
)
from imagegen.requests.state_changes import (
    advance,
    advancing,
    new_values,
    ours,
    run_fenced,
    states_before,
)
from imagegen.requests.stray_statements import adding_strays

# Lock the dialog before the request, in the same order as the hook, or the two could deadlock.
_LOCK_DIALOG = (
    select(Dialog.id).where(Dialog.id == bindparam("of_dialog")).with_for_update(key_share=True)
)
# Locked, so that a job which has lost the request writes down an arrival before or after its end.
_LOCK_IMAGE = (
    select(ImageRequest.image, ImageRequest.album_images)
    .where(ImageRequest.id == bindparam("request_id"))
    .with_for_update(key_share=True)
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

    async def write(self, engine: AsyncEngine, request: ClaimedRequest) -> None:
        """End the request, and move the dialog's watermark, in one transaction.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        receipt = self.receipt
        sent = {"send_id": None, "its_message": None, "album": None}
        if self.send is not None and receipt is not None:
            sent = sent_values(self.send, receipt)
        ending = {
            "conversation": request.own_prompt_alone if self.keeps_own_prompt else None,
            # Another one if the group has become a supergroup.
            "chat_id": request.chat_id if receipt is None else receipt.chat_id,
            "telegram_message_id": receipt and receipt.message_id,
            "telegram_bot_id": receipt and receipt.bot_id,
            "telegram_file_id": receipt and receipt.file_id,
            "album_file_ids": receipt and (list(receipt.album_file_ids) or None),
        }
        values = {
            **ours(request),
            **new_values(ending),
            **sent,
            "url": self.url,
            "of_dialog": request.dialog_id,
            "moves_watermark": request.kind.moves_watermark,
            "old_chat_id": request.chat_id,
        }
        await run_fenced(engine, _END_AS_DELIVERED, values)


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
    await connection.execute(_LOCK_DIALOG, {"of_dialog": request.dialog_id})


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


def _end_as_delivered() -> DirectQuery:
    """Return the statement that ends a request whose picture has arrived, and all that goes with it.

    Each part follows from the row that the part `delivered` has changed, in its newest version.
    """
    dialog = _LOCK_DIALOG.cte("dialog")
    columns = [
        "conversation",
        "chat_id",
        "telegram_message_id",
        "telegram_bot_id",
        "telegram_file_id",
        "album_file_ids",
    ]
    delivered = (
        advancing(State.DELIVERED, states_before(State.DELIVERED), columns)
        .values(image_url=func.coalesce(bindparam("url", type_=Text), ImageRequest.image_url))
        # Always so, and evaluated before the request is locked.
        .where(select(func.count()).select_from(dialog).scalar_subquery() >= 0)
        .returning(
            ImageRequest.id,
            ImageRequest.prompt_id,
            ImageRequest.host,
            ImageRequest.image,
            ImageRequest.message_count,
        )
        .cte("delivered")
    )
    is_delivered = select(delivered.c.id).exists()
    stray = adding_strays(_prompt_without_image(delivered.c))
    watermark = watermark_moved(select(delivered.c.message_count).scalar_subquery())
    old_chat_id = bindparam("old_chat_id", type_=BigInteger)
    new_chat_id = bindparam("new_chat_id", type_=BigInteger)
    # The group has become a supergroup, so its other open requests must go to the new chat too.
    moved_chat = (
        update(ImageRequest)
        .where(
            new_chat_id != old_chat_id,
            ImageRequest.chat_id == old_chat_id,
            ImageRequest.state.in_(OPEN),
            ImageRequest.id != bindparam("its_id"),
            is_delivered,
        )
        .values(chat_id=new_chat_id)
    )
    return DirectQuery(
        select(delivered.c.id).add_cte(
            stray.cte("stray"),
            MARK_SENT.where(is_delivered).cte("sent"),
            watermark.where(bindparam("moves_watermark", type_=Boolean), is_delivered).cte(
                "watermark"
            ),
            moved_chat.cte("moved_chat"),
        )
    )


def _prompt_without_image(request: Any) -> Select[tuple[UUID, str]]:
    """Return the query for the prompt of a request without a stored image; `request` has its columns.

    A picture that was sent from memory, or was never fetched, has left its prompt on the host.
    """
    return select(request.prompt_id, request.host).where(
        request.prompt_id.is_not(None), request.host.is_not(None), request.image.is_(None)
    )


_END_AS_DELIVERED = _end_as_delivered()
_ADD_STRAY_WITHOUT_IMAGE = adding_strays(
    _prompt_without_image(ImageRequest).where(ImageRequest.id == bindparam("request_id"))
)
