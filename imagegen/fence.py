"""The fence: only the job that holds a request's present claim may write to its row."""

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import Executable, Row, Update, bindparam, case, func, update
from sqlalchemy.ext.asyncio import AsyncConnection
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


async def advance(
    connection: AsyncConnection,
    request: Claimed,
    state: State,
    *,
    out_of: State | None = None,
    **values: Any,
) -> None:
    """Bring the request into a state, if it is ours and that may follow, and write these columns.

    `out_of` is the only state that it may come from, of several. Raises ClaimLost.
    """
    query = _advance(state, out_of, tuple(values))
    given = {_new(column): value for column, value in values.items()}
    await held(connection, query, {**_ours(request), **given})


async def rest(
    connection: AsyncConnection, request: Claimed, *, returning: Any, **values: Any
) -> Any:
    """Put the request down where another job can take it up, and return a column of it.

    A prompt or a picture that it has is kept: drawn, drawing or queued follows from that. Raises
    ClaimLost.
    """
    query = _write(OPEN).values(state=_RESTING, **values).returning(returning)
    return await held(connection, query, _ours(request))


async def one_or_none(
    connection: AsyncConnection, query: Executable, values: dict[str, Any] | None = None
) -> AnyRow | None:
    """Run a query for one row at most."""
    return (await connection.execute(query, values)).one_or_none()


async def held(connection: AsyncConnection, query: Executable, values: dict[str, Any]) -> Any:
    """Run an UPDATE and return what it returns. Raises ClaimLost if it touched nothing."""
    row = await one_or_none(connection, query, values)
    if row is None:
        raise ClaimLost("another job has this request now, or it has ended")
    return row[0]


@cache  # to build it takes longer than to run it
def _advance(state: State, out_of: State | None, columns: tuple[str, ...]) -> ReturningUpdate[Any]:
    before = life.before(state)
    values: dict[str, Any] = {column: bindparam(_new(column)) for column in columns}
    if not state.is_open:
        values["finished_at"] = func.clock_timestamp()
    query = _write(before if out_of is None else before & {out_of})
    return query.values(state=state, **values).returning(ImageRequest.id)


def _write(states: Collection[State]) -> Update:
    return (
        update(ImageRequest)
        .where(
            ImageRequest.id == bindparam("its_id"),
            ImageRequest.claim == bindparam("our_claim"),
            ImageRequest.state.in_(states),
        )
        .values(updated_at=func.clock_timestamp())
    )


def _ours(request: Claimed) -> dict[str, Any]:
    return {"its_id": request.id, "our_claim": request.claim}


def _new(column: str) -> str:
    return f"new_{column}"
