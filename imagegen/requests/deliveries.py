"""Attempts to send, and the watermark of a dialog.

Each attempt is a row of `deliveries` that is committed before Telegram is called, because Telegram
has no idempotency key. The watermark is the message count at which the last picture of a dialog was
delivered.
"""

import time
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    ScalarSelect,
    Update,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.orm import aliased

from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.tables import OURS, Dialog, ImageRequest, Kind, State
from chatflow_hook.turn import storable
from imagegen.db.engine import first, one_or_none, run_in_transaction, run_statement
from imagegen.db.tables import Delivery, ForgottenMessage, SendOutcome
from imagegen.delivery.message import SentMessage
from imagegen.delivery.telegram_refusals import UNNAMED
from imagegen.requests.claim import ClaimedRequest, ClaimLost, DeliveryAttempt, EarlierSends
from imagegen.requests.state_changes import NOT_OURS, advancing, ours, states_before

# Statements are built once: to build one takes longer than to run it.
_OF_THIS_REQUEST = Delivery.request_id == bindparam("of_request")
_MARK_UNKNOWN = (
    update(Delivery)
    .where(_OF_THIS_REQUEST, Delivery.outcome == SendOutcome.SENDING)
    .values(outcome=SendOutcome.UNKNOWN, finished_at=func.clock_timestamp())
)
# The row that stands in `deliveries` for an operator's retry: what was sent before it does not
# count. It is found by its number, since PostgreSQL's clock may be set back.
_RETRIED = "an operator tried the request again"
_ADD_RETRY = insert(Delivery).from_select(
    ["request_id", "attempt", "outcome", "error_sentence", "finished_at"],
    select(
        Delivery.request_id,
        func.max(Delivery.attempt) + 1,
        literal(SendOutcome.NOT_SENT.value),
        literal(_RETRIED),
        func.clock_timestamp(),
    )
    .where(_OF_THIS_REQUEST)
    .group_by(Delivery.request_id),
)
_Other = aliased(Delivery)


def _last_attempt(condition: ColumnElement[bool]) -> ScalarSelect[int]:
    last = func.coalesce(func.max(_Other.attempt), 0)
    return (
        select(last)
        .where(_Other.request_id == bindparam("of_request"), condition)
        .scalar_subquery()
    )


_IS_UNNAMED_REFUSAL = and_(
    Delivery.outcome == SendOutcome.REFUSED,
    or_(Delivery.error_sentence.is_(None), Delivery.error_sentence.startswith(UNNAMED)),
    # In a row: what certainly was not sent interrupts them.
    Delivery.attempt > _last_attempt(_Other.outcome == SendOutcome.NOT_SENT),
)
# What has not ended becomes unknown in the same moment.
_IS_UNKNOWN = Delivery.outcome.in_([SendOutcome.UNKNOWN, SendOutcome.SENDING])
_EARLIER = select(
    func.count().filter(_IS_UNKNOWN).label("unknown"),
    func.count().filter(_IS_UNKNOWN, Delivery.is_edit).label("unknown_edits"),
    func.count().filter(_IS_UNNAMED_REFUSAL).label("refused"),
    func.max(Delivery.message_id).filter(Delivery.outcome == SendOutcome.SENT).label("arrived_as"),
).where(
    _OF_THIS_REQUEST,
    Delivery.attempt
    > _last_attempt(
        and_(_Other.outcome == SendOutcome.NOT_SENT, _Other.error_sentence == _RETRIED)
    ),
)


def _start() -> DirectQuery:
    """Return the statement that marks a request as delivering and adds an attempt to send it.

    It also returns what became of the attempts before, all of which it sees as they were.
    """
    started = (
        advancing(State.DELIVERING, states_before(State.DELIVERING), ())
        .returning(ImageRequest.id)
        .cte("started")
    )
    settled = _MARK_UNKNOWN.where(select(started.c.id).exists()).cte("settled")
    number = select(func.count() + 1).where(_OF_THIS_REQUEST).scalar_subquery()
    added = (
        insert(Delivery)
        .from_select(
            ["request_id", "attempt", "is_edit"],
            select(started.c.id, number, bindparam("edits", type_=Boolean)),
        )
        .returning(Delivery.id)
        .cte("added")
    )
    earlier = _EARLIER.subquery("earlier")
    return DirectQuery(
        select(added.c.id, *earlier.c).select_from(added.join(earlier, true())).add_cte(settled)
    )


_START = _start()
# An attempt that Telegram has accepted.
MARK_SENT = (
    update(Delivery)
    .where(Delivery.id == bindparam("send_id"))
    .values(
        outcome=SendOutcome.SENT,
        message_id=bindparam("its_message"),
        album_message_ids=bindparam("album"),
        finished_at=func.clock_timestamp(),
    )
)
# Before the request, in the same order as the hook, or the two could deadlock.
_LOCK_ITS_DIALOG = (
    select(Dialog.id)
    .where(
        Dialog.id
        == select(ImageRequest.dialog_id)
        .where(ImageRequest.id == bindparam("of_request"))
        .scalar_subquery()
    )
    .with_for_update(key_share=True)
)
# Locked, so that an erasure of the user either sees the message or has erased the row before.
_LOCK_REQUEST = (
    select(
        ImageRequest.state,
        ImageRequest.kind,
        ImageRequest.dialog_id,
        ImageRequest.telegram_message_id,
    )
    .where(ImageRequest.id == bindparam("of_request"))
    .with_for_update(key_share=True)
)
_NOTE_MESSAGE = (
    update(ImageRequest)
    .where(ImageRequest.id == bindparam("of_request"))
    .values(
        chat_id=bindparam("its_chat"),
        telegram_message_id=bindparam("its_message"),
        telegram_bot_id=bindparam("its_bot"),
        telegram_file_id=bindparam("its_file"),
        album_file_ids=bindparam("its_files"),
    )
)
_ADD_FORGOTTEN_MESSAGE = postgresql.insert(ForgottenMessage).on_conflict_do_nothing()
_COUNT_IS_OURS = text(
    "(SELECT col_description(attrelid, attnum) IS NOT DISTINCT FROM :ours FROM pg_attribute"
    " WHERE attrelid = 'dialogs'::regclass AND attname = 'message_count')"
).bindparams(ours=OURS)
_REQUESTED_AT = select(ImageRequest.message_count).where(ImageRequest.id == bindparam("request_id"))


class Deliveries:
    """Writes down attempts to send. All methods raise Unavailable if PostgreSQL cannot be reached."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def start(self, request: ClaimedRequest, *, is_edit: bool = False) -> DeliveryAttempt:
        """Write down an attempt before it is made.

        `is_edit`: the picture takes the place of a status message, which may be repeated.

        Earlier attempts that have not ended become `unknown`: their job crashed.

        Raises:
            ClaimLost: another job has claimed the request, or it has ended.
        """
        began = time.monotonic()
        values = {**ours(request), "of_request": request.id, "edits": is_edit}
        row = await first(self._engine, _START, values)
        if row is None:
            raise ClaimLost(NOT_OURS)
        return DeliveryAttempt(request_id=request.id, proved_at=began, **row._asdict())

    async def record_outcome(
        self, send: DeliveryAttempt, outcome: SendOutcome, sentence: str
    ) -> None:
        """Note a send that did not, or may not have arrived."""
        query = (
            update(Delivery)
            .where(Delivery.id == send.id)
            .values(
                outcome=outcome,
                error_sentence=storable(sentence),
                finished_at=func.clock_timestamp(),
            )
        )
        await run_statement(self._engine, lambda connection: connection.execute(query))

    async def record_arrival(self, send: DeliveryAttempt, message: SentMessage) -> bool:
        """Note a message that arrived while its request was cancelled, erased or taken over.

        Returns whether the request is delivered by this very message. If the request was erased,
        the message is noted as one that is to be deleted from the chat. If it was cancelled, it
        stays so; its row names the message, and the dialog's watermark moves.
        """

        async def step(connection: AsyncConnection) -> bool:
            await connection.execute(_LOCK_ITS_DIALOG, {"of_request": send.request_id})
            request = await one_or_none(connection, _LOCK_REQUEST, {"of_request": send.request_id})
            if request is None:
                rows = [
                    {"chat_id": message.chat_id, "message_id": message_id}
                    for message_id in (message.message_id, *message.album_message_ids)
                ]
                await connection.execute(_ADD_FORGOTTEN_MESSAGE, rows)
                return False
            await connection.execute(MARK_SENT, sent_values(send, message))
            if request.state == State.CANCELLED and request.telegram_message_id is None:
                await _note_message(connection, request, send.request_id, message)
            is_delivered = request.state == State.DELIVERED
            return is_delivered and bool(request.telegram_message_id == message.message_id)

        return await run_in_transaction(self._engine, step)


async def _note_message(
    connection: AsyncConnection, request: Any, request_id: UUID, message: SentMessage
) -> None:
    """Write down which message shows the picture of a request that has ended without it."""
    values = {
        "of_request": request_id,
        "its_chat": message.chat_id,
        "its_message": message.message_id,
        "its_bot": message.bot_id,
        "its_file": message.file_id,
        "its_files": list(message.album_file_ids) or None,
    }
    await connection.execute(_NOTE_MESSAGE, values)
    if Kind(request.kind).moves_watermark:
        of_this = {"request_id": request_id, "of_dialog": request.dialog_id}
        await connection.execute(_MOVE_WATERMARK, of_this)


async def settle_earlier_sends(connection: AsyncConnection, request_id: UUID) -> EarlierSends:
    """Return what became of the sends of a request since an operator last retried it.

    Those that have not ended become `unknown`, since their jobs crashed.
    """
    of_this = {"of_request": request_id}
    await connection.execute(_MARK_UNKNOWN, of_this)
    return EarlierSends(**(await connection.execute(_EARLIER, of_this)).one()._asdict())


async def note_retry(connection: AsyncConnection, request_id: UUID) -> None:
    """Write down that an operator retries a request: its sends until now do not count any more."""
    await connection.execute(_ADD_RETRY, {"of_request": request_id})


def sent_values(send: DeliveryAttempt, message: SentMessage) -> dict[str, Any]:
    """Return the parameters of MARK_SENT for an attempt that Telegram has accepted."""
    return {
        "send_id": send.id,
        "its_message": message.message_id,
        "album": list(message.album_message_ids) or None,
    }


async def move_watermark(connection: AsyncConnection, request: ClaimedRequest) -> None:
    """Move a dialog's watermark to the message of the request, as `watermark_moved` does."""
    of_this = {"request_id": request.id, "of_dialog": request.dialog_id}
    await connection.execute(_MOVE_WATERMARK, of_this)


def watermark_moved(message_count: ScalarSelect[int]) -> Update:
    """Return the UPDATE that moves a dialog's watermark to a message, that of `of_dialog`.

    It is never moved backwards, and never beyond the present count of messages: the dialog may have
    begun anew since. Then the hook lowers message_count in the open request, and in `dialogs` if
    that column is ours. A bot's own column is not read, because the bot may update it later.
    """
    at_most = case((_COUNT_IS_OURS, Dialog.message_count), else_=None)
    moved = func.greatest(
        func.coalesce(Dialog.last_image_generation_at, 0), func.least(message_count, at_most)
    )
    return (
        update(Dialog)
        .where(Dialog.id == bindparam("of_dialog"))
        .values(last_image_generation_at=moved)
    )


_MOVE_WATERMARK = watermark_moved(_REQUESTED_AT.scalar_subquery())
