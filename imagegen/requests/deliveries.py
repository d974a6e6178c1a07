"""One row per send, committed before the call is made; and the dialog's watermark."""

import time

from sqlalchemy import bindparam, case, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.tables import OURS, Dialog, ImageRequest, State
from imagegen.db.engine import run_in_transaction, run_statement
from imagegen.db.tables import Delivery, SendOutcome
from imagegen.delivery.message import SentMessage
from imagegen.requests.claim import ClaimedRequest, DeliveryAttempt, advance

# Built once: to build a statement takes longer than to run it.
_OF_THIS = Delivery.request_id == bindparam("of_request")
_LOST = (
    update(Delivery)
    .where(_OF_THIS, Delivery.outcome == SendOutcome.SENDING, Delivery.id != bindparam("send_id"))
    .values(outcome=SendOutcome.UNKNOWN, finished_at=func.clock_timestamp())
)
_MADE = select(func.count()).where(_OF_THIS)
_UNKNOWN = select(func.count()).where(
    _OF_THIS,
    Delivery.outcome == SendOutcome.UNKNOWN,
    # Not those of before an operator's retry, who has looked into it.
    Delivery.started_at
    >= select(ImageRequest.queued_at)
    .where(ImageRequest.id == bindparam("of_request"))
    .scalar_subquery(),
)
_ADDED = (
    insert(Delivery)
    .values(request_id=bindparam("of_request"), attempt=_MADE.scalar_subquery() + 1)
    .returning(Delivery.id, Delivery.attempt)
)
_ARRIVED = (
    update(Delivery)
    .where(Delivery.id == bindparam("send_id"))
    .values(
        outcome=SendOutcome.SENT,
        message_id=bindparam("its_message"),
        finished_at=func.clock_timestamp(),
    )
)


class Deliveries:
    """The sends of all requests. All methods raise Unavailable when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def start(self, request: ClaimedRequest) -> DeliveryAttempt:
        """Write a send down before it is made; an earlier one without an end is unknown.

        Raises ClaimLost when the request is not ours any more.
        """
        began = time.monotonic()

        async def step(connection: AsyncConnection) -> DeliveryAttempt:
            await advance(connection, request, State.DELIVERING)
            send = {"of_request": request.id}
            id_, attempt = (await connection.execute(_ADDED, send)).one()
            unknown = 0
            if attempt > 1:
                await connection.execute(_LOST, {**send, "send_id": id_})
                unknown = (await connection.execute(_UNKNOWN, send)).scalar_one()
            return DeliveryAttempt(id=id_, unknown=unknown, proved_at=began)

        return await run_in_transaction(self._engine, step)

    async def end(self, send: DeliveryAttempt, outcome: SendOutcome, sentence: str) -> None:
        """Note a send that did not, or may not have arrived."""
        query = (
            update(Delivery)
            .where(Delivery.id == send.id)
            .values(outcome=outcome, error_sentence=sentence, finished_at=func.clock_timestamp())
        )
        await run_statement(self._engine, lambda connection: connection.execute(query))


async def mark_sent(
    connection: AsyncConnection, send: DeliveryAttempt, receipt: SentMessage
) -> None:
    """Note a send which Telegram has accepted."""
    await connection.execute(_ARRIVED, {"send_id": send.id, "its_message": receipt.message_id})


_COUNT_IS_OURS = text(
    "(SELECT col_description(attrelid, attnum) IS NOT DISTINCT FROM :ours FROM pg_attribute"
    " WHERE attrelid = 'dialogs'::regclass AND attname = 'message_count')"
).bindparams(ours=OURS)


# The hook writes a new beginning into the row, and into a count of ours; a bot's own column may lag.
_REQUESTED_AT = select(ImageRequest.message_count).where(ImageRequest.id == bindparam("request_id"))
_HERE = func.least(
    _REQUESTED_AT.scalar_subquery(), case((_COUNT_IS_OURS, Dialog.message_count), else_=None)
)
_MOVED = (
    update(Dialog)
    .where(Dialog.id == bindparam("dialog_id"))
    .values(
        last_image_generation_at=func.greatest(
            func.coalesce(Dialog.last_image_generation_at, 0), _HERE
        )
    )
)


async def move_watermark(connection: AsyncConnection, request: ClaimedRequest) -> None:
    """Move a dialog's watermark to the request's message.

    Never backwards, and never beyond the present count: a dialog may have begun anew meanwhile.
    """
    of_this = {"request_id": request.id, "dialog_id": request.dialog_id}
    await connection.execute(_MOVED, of_this)
