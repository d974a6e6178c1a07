"""The ledger: one row per send, committed before the call is made."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy import ScalarSelect, Update, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from chatflow_hook.tables import ImageRequest, State
from imagegen import fence, transactions
from imagegen.claimed import Claimed, Send
from imagegen.delivery.parcel import Receipt
from imagegen.tables import Delivery, Outcome

ResultT = TypeVar("ResultT")


class Ledger:
    """The sends of all requests. All methods raise Unavailable when PostgreSQL is away."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions

    async def start(self, request: Claimed) -> Send:
        """Write a send down before it is made; an earlier one without an end is unknown.

        Raises ClaimLost when the request is not ours any more.
        """
        began = time.monotonic()

        async def step(session: AsyncSession) -> Send:
            await fence.held(session, fence.advance(request, State.DELIVERING))
            of_this = Delivery.request_id == request.id
            await session.execute(
                update(Delivery)
                .where(of_this, Delivery.outcome == Outcome.SENDING)
                .values(outcome=Outcome.UNKNOWN, finished_at=func.clock_timestamp())
            )
            made, unknown = (
                await session.execute(
                    select(
                        func.count(),
                        func.count().filter(
                            Delivery.outcome == Outcome.UNKNOWN,
                            # Not those of before an operator's retry, who has looked into it.
                            Delivery.started_at >= _queued_at(request),
                        ),
                    ).where(of_this)
                )
            ).one()
            added = await session.execute(
                insert(Delivery)
                .values(request_id=request.id, attempt=made + 1)
                .returning(Delivery.id)
            )
            return Send(id=added.scalar_one(), unknown=unknown, proved_at=began)

        return await self._run(step)

    async def end(self, send: Send, outcome: Outcome, sentence: str) -> None:
        """Note a send that did not, or may not have arrived."""
        query = (
            update(Delivery)
            .where(Delivery.id == send.id)
            .values(outcome=outcome, error_sentence=sentence, finished_at=func.clock_timestamp())
        )
        await self._run(lambda session: session.execute(query))

    async def _run(self, step: Callable[[AsyncSession], Awaitable[ResultT]]) -> ResultT:
        return await transactions.run(self._sessions, step)


def _queued_at(request: Claimed) -> ScalarSelect[Any]:
    return select(ImageRequest.queued_at).where(ImageRequest.id == request.id).scalar_subquery()


def arrived(send: Send, receipt: Receipt) -> Update:
    """Return the UPDATE that notes a send which Telegram has accepted."""
    return (
        update(Delivery)
        .where(Delivery.id == send.id)
        .values(
            outcome=Outcome.SENT,
            message_id=receipt.message_id,
            finished_at=func.clock_timestamp(),
        )
    )
