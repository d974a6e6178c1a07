"""Requests as operators see them, without any text of the chat."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid5

from pydantic import SecretStr
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import safety_memory
from chatflow_hook.keyed_hash import read_secret
from chatflow_hook.tables import ImageRequest, State, is_any_of
from imagegen.db.engine import run_in_transaction
from imagegen.db.tables import Delivery, StrayPrompt
from imagegen.errors import ImagegenError

ResultT = TypeVar("ResultT")
# A row as a mapping from column to value.
Facts = Mapping[str, Any]

_HIDDEN = {"conversation", "scene", "caption", "persona_caption"}
_SHOWN = [
    *(column for column in ImageRequest.__table__.columns if column.name not in _HIDDEN),
    ImageRequest.conversation.is_not(None).label("has_conversation"),
    ImageRequest.scene.is_not(None).label("has_scene"),
    ImageRequest.caption.is_not(None).label("has_caption"),
]
_ID_DIGITS = 32


def plain_value(value: Any) -> Any:
    """Return a value of a row in a form that JSON has: a moment in ISO 8601, others as their text."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat()
        case _:
            return str(value)


class RequestNotFound(ImagegenError):
    """No request has this id, or several ids begin with these digits; the sentence says which."""


@dataclass(frozen=True, kw_only=True)
class RequestFilter:
    """Which requests to list. A field that is None or empty does not filter.

    `since` is a moment, or a time span before now by PostgreSQL's clock. `is_reported`: only
    pictures that somebody has reported.
    """

    states: Sequence[State] = ()
    persona: str | None = None
    dialog_id: int | None = None
    since: datetime | timedelta | None = None
    is_reported: bool = False

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """The conditions of the WHERE clause."""
        conditions: list[ColumnElement[bool]] = []
        if self.states:
            conditions.append(ImageRequest.state.in_(self.states))
        if self.persona is not None:
            conditions.append(ImageRequest.persona == self.persona.strip().lower())
        if self.dialog_id is not None:
            conditions.append(ImageRequest.dialog_id == self.dialog_id)
        if self.since is not None:
            conditions.append(ImageRequest.created_at >= _moment(self.since))
        if self.is_reported:
            conditions.append(ImageRequest.reported_at.is_not(None))
        return conditions


@dataclass(frozen=True, kw_only=True)
class RequestList:
    """The newest requests that match a filter, and the number of all that match, by state.

    `now`: the time on PostgreSQL's clock, by which all times of a row are written.
    """

    now: datetime
    requests: Sequence[Facts]
    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class RequestDetails:
    """Everything about one request.

    `strays` are its prompts that may still be on a host. `learnt` is what keeps pictures of its user
    or its dialog safe.
    """

    now: datetime
    request: Facts
    deliveries: Sequence[Facts]
    strays: Sequence[Facts]
    learnt: Sequence[Facts]


class RequestQueries:
    """Reads requests. All methods raise Unavailable if PostgreSQL cannot be reached.

    `hash_secret` is HASH_SECRET, None if the database keeps the secret.
    """

    def __init__(self, engine: AsyncEngine, *, hash_secret: SecretStr | None = None) -> None:
        self._engine = engine
        self._hash_secret = hash_secret

    async def listing(self, which: RequestFilter, *, limit: int) -> RequestList:
        """Return the newest `limit` requests that match, and how many match in all."""

        async def step(connection: AsyncConnection) -> RequestList:
            newest_first = (ImageRequest.created_at.desc(), ImageRequest.id)
            # The ids apart, since the index has all that decides which they are.
            newest = (
                select(ImageRequest.id)
                .where(*which.conditions)
                .order_by(*newest_first)
                .limit(limit)
            )
            shown = select(*_SHOWN).where(ImageRequest.id.in_(newest)).order_by(*newest_first)
            counted = (
                select(ImageRequest.state, func.count())
                .where(*which.conditions)
                .group_by(ImageRequest.state)
            )
            return RequestList(
                now=await _now(connection),
                requests=await _all(connection, shown),
                counts={row[0]: row[1] for row in await connection.execute(counted)},
            )

        return await self._run(step)

    async def details(self, request_id: UUID) -> RequestDetails:
        """Return everything about a request.

        Raises:
            RequestNotFound: there is no request with this id.
        """

        async def step(connection: AsyncConnection) -> RequestDetails:
            rows = await _all(connection, select(*_SHOWN).where(ImageRequest.id == request_id))
            if not rows:
                raise RequestNotFound(f"there is no request {request_id}")
            sends = select(*Delivery.__table__.columns).where(Delivery.request_id == request_id)
            prompts = [uuid5(request_id, str(draw + 1)) for draw in range(rows[0]["draw"])]
            strays = select(*StrayPrompt.__table__.columns).where(
                is_any_of(StrayPrompt.prompt_id, prompts)
            )
            secret = await read_secret(connection, self._hash_secret)
            learnt = safety_memory.learnt_of(
                user_key=safety_memory.user_key(secret, rows[0]["user_id"]),
                dialog_id=rows[0]["dialog_id"],
            )
            return RequestDetails(
                now=await _now(connection),
                request=rows[0],
                deliveries=await _all(connection, sends.order_by(Delivery.attempt)),
                strays=await _all(connection, strays.order_by(StrayPrompt.left_at)),
                learnt=await _all(connection, learnt),
            )

        return await self._run(step)

    async def find(self, beginning: str) -> UUID:
        """Return the only id that begins with these digits.

        Raises:
            RequestNotFound: no id or several begin so, or it is not the beginning of an id.
        """
        low, high = _bounds(beginning)
        query = select(ImageRequest.id).where(ImageRequest.id.between(low, high)).limit(2)

        async def step(connection: AsyncConnection) -> Sequence[UUID]:
            return (await connection.execute(query)).scalars().all()

        ids = await self._run(step)
        if not ids:
            raise RequestNotFound(f"there is no request {beginning}")
        if len(ids) > 1:
            raise RequestNotFound(
                f"more than one request begins with {beginning}: give more of its id"
            )
        return ids[0]

    async def failed_since(self, since: datetime | timedelta) -> Sequence[UUID]:
        """Return the ids of the requests that have failed since then, the last failure first.

        `since` is a moment, or a time span before now by PostgreSQL's clock.
        """
        query = (
            select(ImageRequest.id)
            .where(ImageRequest.state == State.FAILED, ImageRequest.finished_at >= _moment(since))
            .order_by(ImageRequest.finished_at.desc())
        )

        async def step(connection: AsyncConnection) -> Sequence[UUID]:
            return (await connection.execute(query)).scalars().all()

        return await self._run(step)

    async def _run(self, step: Callable[[AsyncConnection], Awaitable[ResultT]]) -> ResultT:
        return await run_in_transaction(self._engine, step)


def _moment(since: datetime | timedelta) -> datetime | ColumnElement[datetime]:
    return since if isinstance(since, datetime) else func.statement_timestamp() - since


def _bounds(beginning: str) -> tuple[UUID, UUID]:
    digits = beginning.strip().lower().replace("-", "")
    if not digits or len(digits) > _ID_DIGITS or set(digits) - set("0123456789abcdef"):
        raise RequestNotFound(
            f"{beginning!r} is no id: it has to be the beginning of one, like 1f0c9a"
        )
    return UUID(digits.ljust(_ID_DIGITS, "0")), UUID(digits.ljust(_ID_DIGITS, "f"))


async def _now(connection: AsyncConnection) -> datetime:
    now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def _all(connection: AsyncConnection, query: Any) -> list[Facts]:
    return [row._asdict() for row in await connection.execute(query)]
