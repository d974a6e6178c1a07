"""A claimed request, and the fence: only the job that holds the present claim may write to it.

Each claim writes a new token into the row. Every later UPDATE names the token and the states that
it may come from; if it changes no row, another job has claimed the request or it has ended.
"""

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
    """Another job has claimed the request, or it has ended: stop without doing anything visible."""

    code = "claim_lost"
    level = logging.WARNING


class TooLate(Rejected):
    """The request is older than REQUEST_MAX_AGE: a late picture in a chat is worse than none."""

    code = "too_old"
    level = logging.WARNING


@dataclass(frozen=True, kw_only=True)
class ClaimedRequest:
    """A request as it was when this job claimed it.

    `claim` is the token that fences every later write. `made_at` and `proved_at` are on the clock
    of time.monotonic: when the request was queued, and when it was last seen to be ours.
    """

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
    # At the time of the claim. Before a send it is read again.
    is_age_confirmed: bool
    made_at: float
    proved_at: float

    @property
    def age_s(self) -> float:
        """How many seconds ago the request was queued. A retry by an operator queues it anew."""
        return time.monotonic() - self.made_at

    def time_left_s(self, max_age_s: float) -> float | None:
        """Return for how many seconds the picture is still wanted; None: without limit.

        `max_age_s` 0 is no limit.

        Raises:
            TooLate: the request is older than `max_age_s`.
        """
        if not max_age_s:
            return None
        if self.age_s > max_age_s:
            raise TooLate(f"the chat has moved on for {self.age_s:.0f} s")
        return max_age_s - self.age_s

    @property
    def drawn(self) -> StoredImage | None:
        """The stored image if the request is drawn already, else None."""
        if self.image is None or self.width is None or self.height is None:
            return None
        return StoredImage(name=self.image, width=self.width, height=self.height)

    @property
    def words(self) -> str:
        """The text that the picture is about: the bot's prompt, else the message, else the reply.

        Empty if the conversation was erased.
        """
        if self.conversation is None:
            return ""
        talk = Conversation.model_validate(self.conversation)
        said = (talk.prompt, talk.text, talk.reply)
        return next((words for words in said if words and words.strip()), "")


class ClaimState(enum.Enum):
    """What became of a request while a job was working on it."""

    OURS = enum.auto()
    # Another job has claimed it and waits for the same prompt.
    TAKEN = enum.auto()
    # It has ended, or another job draws it again: nobody waits for our prompt.
    ENDED = enum.auto()


@dataclass(frozen=True, kw_only=True)
class DeliveryAttempt:
    """An attempt to send that is about to be made.

    `unknown`: how many earlier attempts may have arrived. `proved_at`: when the request was last
    seen to be ours, on the clock of time.monotonic.
    """

    id: int
    unknown: int
    proved_at: float


# The states into which a job may bring a request that it has claimed. Only an operator's retry
# leads out of an end (imagegen/requests/retry.py). Only the hook and an operator cancel a request
# (chatflow_hook/cancellation.py).
_ENDS: Final = frozenset({State.FAILED, State.REFUSED, State.EXPIRED})

FOLLOWS: Final[Mapping[State, frozenset[State]]] = {
    # To DRAWN at once if the same image was drawn before and is taken from the cache.
    State.QUEUED: frozenset({State.DRAWING, State.DRAWN}) | _ENDS,
    State.DRAWING: frozenset({State.QUEUED, State.DRAWN}) | _ENDS,
    # To DELIVERED at once if there is no chat and the caller fetches the picture.
    State.DRAWN: frozenset({State.DELIVERING, State.DELIVERED}) | _ENDS,
    # To DELIVERING again if a send is repeated.
    State.DELIVERING: frozenset({State.DRAWN, State.DELIVERING, State.DELIVERED}) | _ENDS,
}


def states_before(state: State) -> frozenset[State]:
    """Return the open states from which a job may bring a request into this state."""
    return frozenset(each for each in OPEN if state in FOLLOWS[each])


# The state of a request that no job is working on.
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
    """Bring the request into a state that may follow its present one, and write these columns.

    `out_of`: the only state that it may come from, if not all that FOLLOWS allows.

    Raises:
        ClaimLost: the request is not ours any more, or is in a state that this one may not follow.
    """
    query = _advance(state, out_of, tuple(values))
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
    query = _write(OPEN).values(state=_RELEASED, **values).returning(returning)
    return await run_fenced(connection, query, _ours(request))


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
