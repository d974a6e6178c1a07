"""Strays: prompts left behind on hosts that were out of reach, taken off when a host is back."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost
from imagegen.db.engine import run_statement
from imagegen.db.tables import StrayPrompt
from imagegen.errors import Unavailable
from imagegen.pool.health import Condition
from imagegen.pool.pool import Pool

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")

EVERY_S = 5.0
_AT_A_TIME = 200
# A job that has delivered its picture takes its prompt off the host by itself.
_MAY_YET_GO_S = 3.0
_TAKE_OFF_S = 10.0
# A POST whose answer was lost may still be under way, in a proxy for instance.
_MAY_YET_ARRIVE_S = 60.0
# A host that is in nobody's settings any more will not be asked again.
_GIVEN_UP_S = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Stray:
    """A prompt that nobody waits for; `age_s` is how long ago it was left on the host."""

    prompt_id: UUID
    host: str
    age_s: float


class StrayCleanup:
    """Takes strays off the hosts that answer; several workers may do so at the same time."""

    def __init__(self, engine: AsyncEngine, pool: Pool) -> None:
        self._engine = engine
        self._pool = pool

    async def step(self) -> None:
        """Go once through the list; what is not on its host yet stays listed for a while."""
        try:
            for host in self._answering():
                await self._sweep(host)
            await self._give_up()
        except Unavailable as error:
            log.warning("strays wait", why=error.sentence)

    async def left_on(self, host: str) -> list[Stray]:
        """Return what was left on a host and is not about to go, oldest first. Raises Unavailable."""
        query = (
            select(StrayPrompt.prompt_id, StrayPrompt.host, _age_s())
            .where(StrayPrompt.host == host, _age_s() > _MAY_YET_GO_S)
            .order_by(StrayPrompt.left_at)
            .limit(_AT_A_TIME)
        )

        async def step(connection: AsyncConnection) -> list[Stray]:
            rows = await connection.execute(query)
            return [Stray(prompt_id=row[0], host=row[1], age_s=float(row[2])) for row in rows]

        return await self._run(step)

    def _answering(self) -> Sequence[HostClient]:
        up = [each.name for each in self._pool.status() if each.condition is Condition.UP]
        return [host for name in up if (host := self._pool.client(name)) is not None]

    async def _sweep(self, host: HostClient) -> None:
        for stray in await self.left_on(host.name):
            try:
                is_off = await host.cancel_prompt(str(stray.prompt_id), within_s=_TAKE_OFF_S)
            except HostLost as error:
                log.warning("strays wait", host=host.name, why=error.sentence)
                return
            if is_off and stray.age_s > _MAY_YET_ARRIVE_S:
                await self._strike(stray)

    async def _strike(self, stray: Stray) -> None:
        query = delete(StrayPrompt).where(StrayPrompt.prompt_id == stray.prompt_id)
        await self._run(lambda connection: connection.execute(query))
        log.info("stray is gone", host=stray.host, prompt_id=str(stray.prompt_id))

    async def _give_up(self) -> None:
        query = delete(StrayPrompt).where(_age_s() > _GIVEN_UP_S)
        await self._run(lambda connection: connection.execute(query))

    async def _run(self, step: Callable[[AsyncConnection], Awaitable[ResultT]]) -> ResultT:
        return await run_statement(self._engine, step)


def _age_s() -> ColumnElement[Any]:
    return func.extract("epoch", func.clock_timestamp() - StrayPrompt.left_at)
