"""The fence: only the job that holds a request's present claim may write to its row."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Executable, Row, Update, case, func, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningUpdate

from chatflow_hook.tables import OPEN, ImageRequest, State
from imagegen import life
from imagegen.claimed import Claimed, ClaimLost

AnyRow = Row[*tuple[Any, ...]]

# Where a request stands that nobody works on.
_RESTING = case(
    (ImageRequest.image.is_not(None), State.DRAWN),
    (ImageRequest.prompt_id.is_not(None), State.DRAWING),
    else_=State.QUEUED,
)


def advance(request: Claimed, state: State) -> ReturningUpdate[Any]:
    """Return an UPDATE that brings the request into a state, if it is ours and that may follow."""
    return _write(request, life.before(state)).values(state=state).returning(ImageRequest.id)


def rest(request: Claimed, *, returning: Any) -> ReturningUpdate[Any]:
    """Return an UPDATE that puts the request down where another job can take it up, if it is ours.

    A prompt or a picture that it has is kept: drawn, drawing or queued follows from that.
    """
    return _write(request, OPEN).values(state=_RESTING).returning(returning)


def _write(request: Claimed, states: Collection[State]) -> Update:
    return (
        update(ImageRequest)
        .where(
            ImageRequest.id == request.id,
            ImageRequest.claim == request.claim,
            ImageRequest.state.in_(states),
        )
        .values(updated_at=func.clock_timestamp())
    )


async def held(session: AsyncSession, query: Any) -> Any:
    """Run such an UPDATE and return what it returns. Raises ClaimLost if it touched nothing."""
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise ClaimLost("another job has this request now, or it has ended")
    return row[0]


async def one_or_none(session: AsyncSession, query: Executable) -> AnyRow | None:
    """Run a query for one row at most."""
    return (await session.execute(query)).one_or_none()
