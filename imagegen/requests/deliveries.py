"""Attempts to send, and the watermark of a dialog.

Each attempt is a row of `deliveries` that is committed before Telegram is called, because Telegram
has no idempotency key. The watermark is the message count at which the last picture of a dialog was
delivered.
"""

import time
from dataclasses import asdict
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.orm import aliased

from chatflow_hook.tables import OURS, Dialog, ImageRequest, State
from chatflow_hook.turn import storable
from imagegen.db.engine import one_or_none, run_in_transaction, run_statement
from imagegen.db.tables import Delivery, ForgottenMessage, SendOutcome
from imagegen.delivery.message import SentMessage
from imagegen.delivery.telegram_refusals import UNNAMED
from imagegen.requests.claim import ClaimedRequest, DeliveryAttempt, EarlierSends
from imagegen.requests.state_changes import advance

# Statements are built once: to build one takes longer than to run it.
_OF_THIS_REQUEST = Delivery.request_id == bindparam("of_request")
_MARK_OTHERS_UNKNOWN = (
    update(Delivery)
    .where(
        _OF_THIS_REQUEST,
        Delivery.outcome == SendOutcome.SENDING,
        Delivery.id != bindparam("send_id"),
    )
    .values(outcome=SendOutcome.UNKNOWN, finished_at=func.clock_timestamp())
)
_COUNT_ALL = select(func.count()).where(_OF_THIS_REQUEST)
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
_EARLIER = select(
    func.count().filter(Delivery.outcome == SendOutcome.UNKNOWN).label("unknown"),
    func.count()
    .filter(Delivery.outcome == SendOutcome.UNKNOWN, Delivery.is_edit)
    .label("unknown_edits"),
    func.count().filter(_IS_UNNAMED_REFUSAL).label("refused"),
    func.max(Delivery.message_id).filter(Delivery.outcome == SendOutcome.SENT).label("arrived_as"),
).where(
    _OF_THIS_REQUEST,
    Delivery.attempt
    > _last_attempt(
        and_(_Other.outcome == SendOutcome.NOT_SENT, _Other.error_sentence == _RETRIED)
    ),
)
_ADD = (
    insert(Delivery)
    .values(
        request_id=bindparam("of_request"),
        attempt=_COUNT_ALL.scalar_subquery() + 1,
        is_edit=bindparam("edits"),
    )
    .returning(Delivery.id, Delivery.attempt)
)
_MARK_SENT = (
    update(Delivery)
    .where(Delivery.id == bindparam("send_id"))
    .values(
        outcome=SendOutcome.SENT,
        message_id=bindparam("its_message"),
        album_message_ids=bindparam("album"),
        finished_at=func.clock_timestamp(),
    )
)
# Locked, so that an erasure of the user either sees the message or has erased the row before.
_LOCK_REQUEST = (
    select(ImageRequest.state, ImageRequest.telegram_message_id)
    .where(ImageRequest.id == bindparam("of_request"))
    .with_for_update(key_share=True)
)
_ADD_FORGOTTEN_MESSAGE = postgresql.insert(ForgottenMessage).on_conflict_do_nothing()
_COUNT_IS_OURS = text(
    "(SELECT col_description(attrelid, attnum) IS NOT DISTINCT FROM :ours FROM pg_attribute"
    " WHERE attrelid = 'dialogs'::regclass AND attname = 'message_count')"
).bindparams(ours=OURS)
# When a dialog begins anew, the hook lowers message_count in the open request, and in `dialogs` if
# that column is ours. A bot's own column is not read, because the bot may update it later.
_REQUESTED_AT = select(ImageRequest.message_count).where(ImageRequest.id == bindparam("request_id"))
_NEW_WATERMARK = func.least(
    _REQUESTED_AT.scalar_subquery(), case((_COUNT_IS_OURS, Dialog.message_count), else_=None)
)
_MOVE_WATERMARK = (
    update(Dialog)
    .where(Dialog.id == bindparam("dialog_id"))
    .values(
        last_image_generation_at=func.greatest(
            func.coalesce(Dialog.last_image_generation_at, 0), _NEW_WATERMARK
        )
    )
)


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

        async def step(connection: AsyncConnection) -> DeliveryAttempt:
            await advance(connection, request, State.DELIVERING)
            send = {"of_request": request.id}
            id_, attempt = (await connection.execute(_ADD, {**send, "edits": is_edit})).one()
            earlier = EarlierSends()
            if attempt > 1:
                earlier = await settle_earlier_sends(connection, request.id, but=id_)
            return DeliveryAttempt(
                id=id_, request_id=request.id, proved_at=began, **asdict(earlier)
            )

        return await run_in_transaction(self._engine, step)

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
        the message is noted as one that is to be deleted from the chat.
        """

        async def step(connection: AsyncConnection) -> bool:
            request = await one_or_none(connection, _LOCK_REQUEST, {"of_request": send.request_id})
            if request is None:
                rows = [
                    {"chat_id": message.chat_id, "message_id": message_id}
                    for message_id in (message.message_id, *message.album_message_ids)
                ]
                await connection.execute(_ADD_FORGOTTEN_MESSAGE, rows)
                return False
            await mark_sent(connection, send, message)
            is_delivered = request.state == State.DELIVERED
            return is_delivered and bool(request.telegram_message_id == message.message_id)

        return await run_in_transaction(self._engine, step)


async def settle_earlier_sends(
    connection: AsyncConnection, request_id: UUID, *, but: int = 0
) -> EarlierSends:
    """Return what became of the sends of a request since an operator last retried it.

    Those that have not ended become `unknown`, since their jobs crashed. `but`: the id of a send
    that is about to be made, and does not count.
    """
    of_this = {"of_request": request_id}
    await connection.execute(_MARK_OTHERS_UNKNOWN, {**of_this, "send_id": but})
    return EarlierSends(**(await connection.execute(_EARLIER, of_this)).one()._asdict())


async def note_retry(connection: AsyncConnection, request_id: UUID) -> None:
    """Write down that an operator retries a request: its sends until now do not count any more."""
    await connection.execute(_ADD_RETRY, {"of_request": request_id})


async def mark_sent(
    connection: AsyncConnection, send: DeliveryAttempt, message: SentMessage
) -> None:
    """Write down that Telegram has accepted an attempt."""
    values = {
        "send_id": send.id,
        "its_message": message.message_id,
        "album": list(message.album_message_ids) or None,
    }
    await connection.execute(_MARK_SENT, values)


async def move_watermark(connection: AsyncConnection, request: ClaimedRequest) -> None:
    """Move a dialog's watermark to the message of the request.

    It is never moved backwards, and never beyond the present count of messages: the dialog may have
    begun anew since.
    """
    of_this = {"request_id": request.id, "dialog_id": request.dialog_id}
    await connection.execute(_MOVE_WATERMARK, of_this)
