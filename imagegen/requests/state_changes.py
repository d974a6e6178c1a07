"""State changes and the fence: only the job that holds the present claim may write to a request.

Each claim writes a new token into the row. Every later UPDATE names the token and the states that
it may come from; if it changes no row, another job has claimed the request or it has ended.
"""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import Integer, Update, and_, bindparam, case, func, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.tables import OPEN, ImageRequest, State
from imagegen.db.engine import first
from imagegen.requests.claim import ClaimedRequest, ClaimLost

NOT_OURS: Final = "another job has this request now, or it has ended"

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
    database: AsyncEngine | AsyncConnection,
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
    await run_fenced(database, query, {**ours(request), **new_values(values)})


async def release(
    database: AsyncEngine | AsyncConnection,
    request: ClaimedRequest,
    *,
    attempts: int,
    most_attempts: int,
) -> bool:
    """Bring the request back into a state in which another job can take it up; return whether it was.

    Its prompt and its image are kept: with an image it is drawn, with a prompt drawing, else
    queued. `attempts` are added to those that it has spent. False: it has spent `most_attempts` by
    that, and is still ours.

    Raises:
        ClaimLost: the request is not ours any more, or has ended.
    """
    values = {"cost": attempts, "most_attempts": most_attempts}
    return await run_fenced(database, _RELEASE, {**ours(request), **values}) is None


async def write(
    database: AsyncEngine | AsyncConnection, request: ClaimedRequest, **values: Any
) -> None:
    """Write to an open request without a change of its state.

    Raises:
        ClaimLost: the request is not ours any more, or has ended.
    """
    query = _writing(tuple(values))
    await run_fenced(database, query, {**ours(request), **new_values(values)})


async def mark_waiting(database: AsyncEngine | AsyncConnection, request: ClaimedRequest) -> None:
    """Write down that the job only waits for a slot, and that this claim is no crash.

    A queued request has come through all that comes before it is drawn, so its crashes are counted
    from 0 again. One with a prompt on a host has not: what follows its wait may be the cause.

    Raises:
        ClaimLost: the request is not ours any more, or is neither queued nor drawing.
    """
    await run_fenced(database, _MARK_WAITING, ours(request))


async def end_wait(database: AsyncEngine | AsyncConnection, request: ClaimedRequest) -> None:
    """Write down that the job waits no longer, and that this claim may be a crash.

    Raises:
        ClaimLost: the request is not ours any more, or has ended.
    """
    await run_fenced(database, _END_WAIT, ours(request))


async def run_fenced(
    database: AsyncEngine | AsyncConnection, query: DirectQuery, values: dict[str, Any]
) -> Any:
    """Run a statement that returns a row if it has changed the request; return the first column.

    Raises:
        ClaimLost: it has changed no row.
    """
    row = await first(database, query, values)
    if row is None:
        raise ClaimLost(NOT_OURS)
    return row[0]


@cache
def _writing(columns: tuple[str, ...]) -> DirectQuery:
    return DirectQuery(_write(OPEN).values(_parameters(columns)).returning(ImageRequest.id))


@cache  # to build the statement takes longer than to run it
def _advance(state: State, before: frozenset[State], columns: tuple[str, ...]) -> DirectQuery:
    return DirectQuery(advancing(state, before, columns).returning(ImageRequest.id))


def advancing(state: State, before: Collection[State], columns: Collection[str]) -> Update:
    """Return an UPDATE that brings a request of ours into a state, and writes these columns.

    Its parameters are those of `ours` and of `new_values`.
    """
    values = _parameters(columns)
    if not state.is_open:
        values["finished_at"] = func.clock_timestamp()
    return _write(before).values(state=state, **values)


def ours(request: ClaimedRequest) -> dict[str, Any]:
    """Return the parameters that name a request and our claim to it."""
    return {"its_id": request.id, "our_claim": request.claim}


def new_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of `advancing` for columns and what is written into them."""
    return {_new(column): value for column, value in values.items()}


def _parameters(columns: Collection[str]) -> dict[str, Any]:
    return {column: bindparam(_new(column)) for column in columns}


def _new(column: str) -> str:
    return f"new_{column}"


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


_ATTEMPTS = ImageRequest.attempts + bindparam("cost", type_=Integer)
_IS_SPENT = and_(
    bindparam("cost", type_=Integer) > 0,
    bindparam("most_attempts", type_=Integer) <= _ATTEMPTS,
)
_RELEASE = DirectQuery(
    _write(OPEN)
    .values(
        state=RELEASED,
        attempts=_ATTEMPTS,
        claim=case((_IS_SPENT, ImageRequest.claim), else_=None),
    )
    .returning(ImageRequest.claim)
)
_MARK_WAITING = DirectQuery(
    _write({State.QUEUED, State.DRAWING})
    .values(
        waiting_claim=ImageRequest.claim,
        crashes=case((ImageRequest.state == State.QUEUED, 0), else_=ImageRequest.crashes),
    )
    .returning(ImageRequest.id)
)
_END_WAIT = DirectQuery(_write(OPEN).values(waiting_claim=None).returning(ImageRequest.id))
