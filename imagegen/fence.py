"""The fence: only the job that holds a request's present claim may write to its row."""

from typing import Any

from sqlalchemy import Executable, Row, func, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningUpdate

from chatflow_hook.tables import OPEN, ImageRequest
from imagegen.claimed import Claimed, ClaimLost

AnyRow = Row[*tuple[Any, ...]]


def write(request: Claimed, *, returning: Any = ImageRequest.id) -> ReturningUpdate[Any]:
    """Return an UPDATE of the request's row that touches it only while it is open and ours."""
    return (
        update(ImageRequest)
        .where(
            ImageRequest.id == request.id,
            ImageRequest.claim == request.claim,
            ImageRequest.state.in_(OPEN),
        )
        .values(updated_at=func.clock_timestamp())
        .returning(returning)
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
