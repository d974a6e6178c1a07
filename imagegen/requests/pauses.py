"""Pauses: the requests of a persona or of a kind wait in the queue until an operator resumes it."""

import enum
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, exists, func, literal, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.tables import NOBODY, ImageRequest, Kind, State
from imagegen.db.engine import all_rows, run_statement
from imagegen.db.tables import PauseEntry
from imagegen.errors import ImagegenError


class PauseScope(enum.StrEnum):
    """What is paused."""

    PERSONA = "persona"
    KIND = "kind"


class PauseRefused(ImagegenError):
    """Nothing was paused; the sentence says why."""


@dataclass(frozen=True, kw_only=True)
class Pause:
    """One pause; `paused_at` is on PostgreSQL's clock. Two of the same scope and name are equal."""

    scope: PauseScope
    name: str
    paused_at: datetime

    @property
    def sentence(self) -> str:
        """Why a request of it waits."""
        return f"the {self.scope.value} {self.name} is paused"

    @property
    def how_to_resume(self) -> str:
        """The command that ends it."""
        return f"imagegen resume --{self.scope.value} {shlex.quote(self.name)}"


# A request that has an image or a prompt on a host goes on: only what is not begun waits.
IS_PAUSED = and_(
    ImageRequest.state == State.QUEUED,
    exists().where(
        or_(
            and_(PauseEntry.scope == PauseScope.PERSONA, PauseEntry.name == ImageRequest.persona),
            and_(PauseEntry.scope == PauseScope.KIND, PauseEntry.name == ImageRequest.kind),
        )
    ),
)

# Built once, since it is asked every 1.5 s while there is a pause.
_ALL = DirectQuery(
    select(PauseEntry.scope, PauseEntry.name, PauseEntry.paused_at)
    .where(PauseEntry.scope.in_(list(PauseScope)))
    .order_by(PauseEntry.paused_at, PauseEntry.scope, PauseEntry.name)
)


class Pauses:
    """Reads and writes pauses. All methods raise Unavailable if PostgreSQL cannot be reached."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self) -> Sequence[Pause]:
        """Return all pauses of the scopes that this version knows, the oldest first."""
        return [
            Pause(scope=PauseScope(row.scope), name=row.name, paused_at=row.paused_at)
            for row in await all_rows(self._engine, _ALL)
        ]

    async def pause(self, scope: PauseScope, name: str) -> bool:
        """Pause a persona or a kind; return False if it was paused already.

        Raises:
            PauseRefused: there is no such kind, or the name is empty.
        """
        query = (
            insert(PauseEntry)
            .values(scope=scope, name=paused_name(scope, name))
            .on_conflict_do_nothing()
            .returning(literal(1))
        )
        return await self._changes_a_row(query)

    async def resume(self, scope: PauseScope, name: str) -> bool:
        """End a pause; return False if there was none.

        Raises:
            PauseRefused: there is no such kind, or the name is empty.
        """
        query = (
            delete(PauseEntry)
            .where(PauseEntry.scope == scope, PauseEntry.name == paused_name(scope, name))
            .returning(literal(1))
        )
        return await self._changes_a_row(query)

    async def holds(self, request_id: UUID, *, max_age_s: float) -> bool:
        """Tell whether a request is to wait.

        One that is older than `max_age_s` seconds (0 for no limit) is not, since it is to end; a
        cover that is drawn ahead has no limit.
        """
        query = select(literal(1)).where(
            ImageRequest.id == request_id, IS_PAUSED, *_is_younger(max_age_s)
        )

        async def step(connection: AsyncConnection) -> bool:
            return (await connection.execute(query)).first() is not None

        return await run_statement(self._engine, step)

    async def count_held(self) -> int:
        """Return how many requests wait because of pauses."""

        async def step(connection: AsyncConnection) -> int:
            query = select(func.count()).select_from(ImageRequest).where(IS_PAUSED)
            return (await connection.execute(query)).scalar_one()

        return await run_statement(self._engine, step)

    async def _changes_a_row(self, query: object) -> bool:
        async def step(connection: AsyncConnection) -> bool:
            return (await connection.execute(query)).first() is not None  # type: ignore[call-overload]

        return await run_statement(self._engine, step)


def paused_name(scope: PauseScope, name: str) -> str:
    """Return a name as rows have it.

    Raises:
        PauseRefused: there is no such kind, or the name is empty.
    """
    as_in_rows = name.strip().lower()
    if not as_in_rows:
        raise PauseRefused("a name is needed")
    if scope is PauseScope.KIND and as_in_rows not in set(Kind):
        raise PauseRefused(f"there is no kind {as_in_rows}: it is one of {', '.join(Kind)}")
    return as_in_rows


def _is_younger(max_age_s: float) -> list[ColumnElement[bool]]:
    if not max_age_s:
        return []
    oldest = func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, max_age_s)
    return [or_(ImageRequest.queued_at > oldest, ImageRequest.user_id == NOBODY)]
