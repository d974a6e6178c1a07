"""State changes and the fence: only the job that holds the present claim may write to a request.

Each claim writes a new token into the row. Every later UPDATE names the token and the states that
it may come from; if it changes no row, another job has claimed the request or it has ended.
"""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import Executable, Update, bindparam, case, func, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from chatflow_hook.tables import OPEN, ImageRequest, State
from imagegen.db.engine import one_or_none
from imagegen.requests.claim import ClaimedRequest, ClaimLost, StatusMessage

# The states into which a job may bring a request that it has claimed. Only an operator's retry
# leads out of an end (imagegen/requests/retry.py). Only the hook and an operator cancel a request
# (chatflow_hook/cancellation.py).
_ENDS: Final = frozenset({State.FAILED, State.REFUSED, State.EXPIRED})

FOLLOWS: Final[Mapping[State, frozenset[State]]] = {
    # To DRAWN at once if the same image was drawn before and is taken from the cache.
    State.QUEUED: frozenset({State.DRAWING, State.DRAWN}) | _ENDS,
    # To DELIVERING at once if the image store is away: the picture is sent from the job's memory.
    State.DRAWING: frozenset({State.QUEUED, State.DRAWN, State.DELIVERING}) | _ENDS,
    # To DELIVERED at once if there is no chat and the caller fetches the picture.
    State.DRAWN: frozenset({State.DELIVERING, State.DELIVERED}) | _ENDS,
    # To DELIVERING again if a send is repeated.
    State.DELIVERING: frozenset({State.DRAWN, State.DELIVERING, State.DELIVERED}) | _ENDS,
}


def states_before(state: State) -> frozenset[State]:
    """Return the open states from which a job may bring a request into this state."""
    return frozenset(each for each in OPEN if state in FOLLOWS[each])


# The state of a request that no job is working on.
RELEASED: Final = case(
    (ImageRequest.image.is_not(None), State.DRAWN),
    (ImageRequest.prompt_id.is_not(None), State.DRAWING),
    else_=State.QUEUED,
)


async def advance(
    connection: AsyncConnection,
    request: ClaimedRequest,
    state: State,
    *,
    out_of: Collection[State] | None = None,
    **values: Any,
) -> None:
    """Bring the request into a state that may follow its present one, and write these columns.

    `out_of`: the states that it may come from, if not those that FOLLOWS allows.

    Raises:
        ClaimLost: the request is not ours any more, or is in a state that this one may not follow.
    """
    before = states_before(state) if out_of is None else frozenset(out_of)
    query = _advance(state, before, tuple(values))
    given = {_new(column): value for column, value in values.items()}
    await run_fenced(connection, query, {**_ours(request), **given})


async def release(
    connection: AsyncConnection, request: ClaimedRequest, *, returning: Any, **values: Any
) -> Any:
    """Bring the request back into a state in which another job can take it up; return one column.

    Its prompt and its image are kept: with an image it is drawn, with a prompt drawing, else
    queued.

    Raises:
        ClaimLost: the request is not ours any more, or has ended.
    """
    query = _write(OPEN).values(state=RELEASED, **values).returning(returning)
    return await run_fenced(connection, query, _ours(request))


async def write(connection: AsyncConnection, request: ClaimedRequest, **values: Any) -> None:
    """Write to an open request without a change of its state.

    Raises:
        ClaimLost: the request is not ours any more, or has ended.
    """
    query = _write(OPEN).values(**values).returning(ImageRequest.id)
    await run_fenced(connection, query, _ours(request))


async def mark_waiting(connection: AsyncConnection, request: ClaimedRequest) -> None:
    """Write down that the job only waits for a slot, and that this claim is no crash.

    A queued request has come through all that comes before it is drawn, so its crashes are counted
    from 0 again. One with a prompt on a host has not: what follows its wait may be the cause.

    Raises:
        ClaimLost: the request is not ours any more, or is neither queued nor drawing.
    """
    query = _write({State.QUEUED, State.DRAWING}).values(
        waiting_claim=ImageRequest.claim,
        crashes=case((ImageRequest.state == State.QUEUED, 0), else_=ImageRequest.crashes),
    )
    await run_fenced(connection, query.returning(ImageRequest.id), _ours(request))


async def end_wait(connection: AsyncConnection, request: ClaimedRequest) -> None:
    """Write down that the job waits no longer, and goes on with the prompt that it had.

    Raises:
        ClaimLost: the request is not ours any more, or is not drawing.
    """
    query = _write({State.DRAWING}).values(waiting_claim=None)
    await run_fenced(connection, query.returning(ImageRequest.id), _ours(request))


async def note_status(
    connection: AsyncConnection, request: ClaimedRequest, status: StatusMessage | None
) -> None:
    """Write down the status message of a request, or that it has none any more.

    Raises:
        ClaimLost: the request is not ours any more, or has ended.
    """
    query = _write(OPEN).values(
        status_message_id=None if status is None else status.message_id,
        status_is_protected=status is not None and status.is_protected,
    )
    await run_fenced(connection, query.returning(ImageRequest.id), _ours(request))


async def run_fenced(connection: AsyncConnection, query: Executable, values: dict[str, Any]) -> Any:
    """Run an UPDATE that returns one column, and return its value.

    Raises:
        ClaimLost: it has changed no row.
    """
    row = await one_or_none(connection, query, values)
    if row is None:
        raise ClaimLost("another job has this request now, or it has ended")
    return row[0]


@cache  # to build the statement takes longer than to run it
def _advance(
    state: State, before: frozenset[State], columns: tuple[str, ...]
) -> ReturningUpdate[Any]:
    values: dict[str, Any] = {column: bindparam(_new(column)) for column in columns}
    if not state.is_open:
        values["finished_at"] = func.clock_timestamp()
    return _write(before).values(state=state, **values).returning(ImageRequest.id)


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


def _ours(request: ClaimedRequest) -> dict[str, Any]:
    return {"its_id": request.id, "our_claim": request.claim}


def _new(column: str) -> str:
    return f"new_{column}"
