"""The ledger: one row per send, committed before the call is made."""

import time

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.tables import ImageRequest, State
from imagegen import fence, transactions
from imagegen.claimed import Claimed, Send
from imagegen.delivery.parcel import Receipt
from imagegen.tables import Delivery, Outcome

# Built once: to build a statement takes longer than to run it.
_OF_THIS = Delivery.request_id == bindparam("of_request")
_LOST = (
    update(Delivery)
    .where(_OF_THIS, Delivery.outcome == Outcome.SENDING, Delivery.id != bindparam("send_id"))
    .values(outcome=Outcome.UNKNOWN, finished_at=func.clock_timestamp())
)
_MADE = select(func.count()).where(_OF_THIS)
_UNKNOWN = select(func.count()).where(
    _OF_THIS,
    Delivery.outcome == Outcome.UNKNOWN,
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
        outcome=Outcome.SENT,
        message_id=bindparam("its_message"),
        finished_at=func.clock_timestamp(),
    )
)


class Ledger:
    """The sends of all requests. All methods raise Unavailable when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def start(self, request: Claimed) -> Send:
        """Write a send down before it is made; an earlier one without an end is unknown.

        Raises ClaimLost when the request is not ours any more.
        """
        began = time.monotonic()

        async def step(connection: AsyncConnection) -> Send:
            await fence.advance(connection, request, State.DELIVERING)
            send = {"of_request": request.id}
            id_, attempt = (await connection.execute(_ADDED, send)).one()
            unknown = 0
            if attempt > 1:
                await connection.execute(_LOST, {**send, "send_id": id_})
                unknown = (await connection.execute(_UNKNOWN, send)).scalar_one()
            return Send(id=id_, unknown=unknown, proved_at=began)

        return await transactions.run(self._engine, step)

    async def end(self, send: Send, outcome: Outcome, sentence: str) -> None:
        """Note a send that did not, or may not have arrived."""
        query = (
            update(Delivery)
            .where(Delivery.id == send.id)
            .values(outcome=outcome, error_sentence=sentence, finished_at=func.clock_timestamp())
        )
        await transactions.single(self._engine, lambda connection: connection.execute(query))


async def arrived(connection: AsyncConnection, send: Send, receipt: Receipt) -> None:
    """Note a send which Telegram has accepted."""
    await connection.execute(_ARRIVED, {"send_id": send.id, "its_message": receipt.message_id})
