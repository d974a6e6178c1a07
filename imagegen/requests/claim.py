"""A claimed request, and the fence: only the job that holds the present claim may write to it."""

import enum
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Executable, Update, bindparam, case, func, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from chatflow_hook.tables import OPEN, ImageRequest, Kind, State
from chatflow_hook.turn import Conversation
from imagegen.db.engine import one_or_none
from imagegen.errors import ImagegenError, Rejected
from imagegen.storage.store import StoredImage


class ClaimLost(ImagegenError):
    """Somebody else has the request now, or it has ended: stop without doing anything visible."""

    code = "claim_lost"
    level = logging.WARNING


class TooLate(Rejected):
    """An old picture in a chat that has moved on is worse than none."""

    code = "too_old"
    level = logging.WARNING


@dataclass(frozen=True, kw_only=True)
class ClaimedRequest:
    """A request as it was when this job claimed it; `claim` fences every later write."""

    id: UUID
    claim: UUID
    state: State
    kind: Kind
    dialog_id: int
    user_id: int
    chat_id: int | None
    chat_type: str | None
    persona: str
    message_count: int
    variation: int
    conversation: Mapping[str, Any] | None
    scene: Mapping[str, Any] | None
    language: str | None
    rating: str
    story: str | None
    caption: str | None
    has_spoiler: bool
    reply_to_message_id: int | None
    message_thread_id: int | None
    attempts: int
    draw: int
    host: str | None
    prompt_id: UUID | None
    seed: int | None
    drawn_rating: str | None
    image: str | None
    width: int | None
    height: int | None
    crashes: int
    # As it stood at the claim; before a send it is asked again.
    is_age_confirmed: bool
    # On the clock of time.monotonic: when it was asked for, and when it was last seen to be ours.
    made_at: float
    proved_at: float

    @property
    def age_s(self) -> float:
        """How long ago the picture was asked for."""
        return time.monotonic() - self.made_at

    def time_left_s(self, max_age_s: float) -> float | None:
        """How long the picture is still wanted, None for ever. Raises TooLate if it is not."""
        if not max_age_s:
            return None
        if self.age_s > max_age_s:
            raise TooLate(f"the chat has moved on for {self.age_s:.0f} s")
        return max_age_s - self.age_s

    @property
    def drawn(self) -> StoredImage | None:
        """The stored picture, if an earlier job came as far as that."""
        if self.image is None or self.width is None or self.height is None:
            return None
        return StoredImage(name=self.image, width=self.width, height=self.height)

    @property
    def words(self) -> str:
        """What the picture is to show, in the bot's, the user's or the persona's words."""
        if self.conversation is None:
            return ""
        talk = Conversation.model_validate(self.conversation)
        said = (talk.prompt, talk.text, talk.reply)
        return next((words for words in said if words and words.strip()), "")


class ClaimState(enum.Enum):
    """What became of a request while a job carried it."""

    OURS = enum.auto()
    # Another job has it now, and waits for the same prompt.
    TAKEN = enum.auto()
    # It is over, or another job draws it anew: nobody waits for our prompt.
    ENDED = enum.auto()


@dataclass(frozen=True, kw_only=True)
class DeliveryAttempt:
    """One send about to be made; `unknown` earlier ones may have arrived.

    `proved_at` is when the request was seen to be ours, as time.monotonic counts.
    """

    id: int
    unknown: int
    proved_at: float


# What a job may make of a request that it has claimed. Only an operator's retry leads out of an
# end (revival.py), and only the hook or an operator calls a request off (withdrawal.py).
_ENDS: Final = frozenset({State.FAILED, State.REFUSED, State.EXPIRED})

FOLLOWS: Final[Mapping[State, frozenset[State]]] = {
    # Drawn at once where the same picture was drawn before.
    State.QUEUED: frozenset({State.DRAWING, State.DRAWN}) | _ENDS,
    State.DRAWING: frozenset({State.QUEUED, State.DRAWN}) | _ENDS,
    # Delivered at once where the caller fetches the picture.
    State.DRAWN: frozenset({State.DELIVERING, State.DELIVERED}) | _ENDS,
    # Delivering follows itself when a send is repeated.
    State.DELIVERING: frozenset({State.DRAWN, State.DELIVERING, State.DELIVERED}) | _ENDS,
}


def states_before(state: State) -> frozenset[State]:
    """Return the states out of which a job may bring a request into this one."""
    return frozenset(each for each in OPEN if state in FOLLOWS[each])


# Where a request stands that nobody works on.
_RELEASED = case(
    (ImageRequest.image.is_not(None), State.DRAWN),
    (ImageRequest.prompt_id.is_not(None), State.DRAWING),
    else_=State.QUEUED,
)


async def advance(
    connection: AsyncConnection,
    request: ClaimedRequest,
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
    await run_fenced(connection, query, {**_ours(request), **given})


async def release(
    connection: AsyncConnection, request: ClaimedRequest, *, returning: Any, **values: Any
) -> Any:
    """Put the request down where another job can take it up, and return a column of it.

    A prompt or a picture that it has is kept: drawn, drawing or queued follows from that. Raises
    ClaimLost.
    """
    query = _write(OPEN).values(state=_RELEASED, **values).returning(returning)
    return await run_fenced(connection, query, _ours(request))


async def run_fenced(connection: AsyncConnection, query: Executable, values: dict[str, Any]) -> Any:
    """Run an UPDATE and return what it returns. Raises ClaimLost if it touched nothing."""
    row = await one_or_none(connection, query, values)
    if row is None:
        raise ClaimLost("another job has this request now, or it has ended")
    return row[0]


@cache  # to build it takes longer than to run it
def _advance(state: State, out_of: State | None, columns: tuple[str, ...]) -> ReturningUpdate[Any]:
    before = states_before(state)
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


def _ours(request: ClaimedRequest) -> dict[str, Any]:
    return {"its_id": request.id, "our_claim": request.claim}


def _new(column: str) -> str:
    return f"new_{column}"
