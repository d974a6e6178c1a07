"""Removes stray prompts: prompts that nobody waits for and that may still be on a host.

They are written down when a request goes on without them, and removed when their host answers. A
prompt whose request waits for its host is no stray: a job takes it up.
"""

from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import Float, bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.direct_query import DirectQuery
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost
from imagegen.db.engine import all_rows, first
from imagegen.db.tables import StrayPrompt
from imagegen.errors import Unavailable
from imagegen.pool.pool import Pool
from imagegen.requests.stray_statements import ADD_STRAY, REMOVE_STRAY

log = structlog.get_logger(__name__)

EVERY_S = 5.0
_BATCH_SIZE = 200
# A job that has stored its image removes the prompt from the host by itself, within this time.
_JOB_REMOVES_IT_WITHIN_S = 3.0
_CANCEL_TIMEOUT_S = 10.0
# A POST whose answer was lost may still arrive at the host so long afterwards, for example out of a
# proxy. Until then the prompt stays on the list although the host does not have it.
_POST_MAY_ARRIVE_WITHIN_S = 60.0
# After so long the prompt is dropped from the list: its host is probably in nobody's settings any
# more.
_GIVEN_UP_AFTER_S = 86_400.0

_AGE_S = func.extract("epoch", func.clock_timestamp() - StrayPrompt.left_at)
IS_LEFT = bindparam("left_for_s", type_=Float) <= _AGE_S
# What `IS_LEFT` is asked with for a step.
TIMES = {"left_for_s": _JOB_REMOVES_IT_WITHIN_S}
# Statements are built once: to build one takes longer than to run it.
_HOSTS = DirectQuery(select(StrayPrompt.host).where(IS_LEFT).distinct())
_ON_HOST = DirectQuery(
    select(StrayPrompt.prompt_id, StrayPrompt.host, _AGE_S.label("age_s"))
    .where(StrayPrompt.host == bindparam("host"), IS_LEFT)
    .order_by(StrayPrompt.left_at)
    .limit(_BATCH_SIZE)
)
_FORGET_OLD_ONES = DirectQuery(delete(StrayPrompt).where(_AGE_S > _GIVEN_UP_AFTER_S))


@dataclass(frozen=True, kw_only=True)
class Stray:
    """A prompt that nobody waits for; `age_s`: for how many seconds it has been on the list."""

    prompt_id: UUID
    host: str
    age_s: float


class StrayCleanup:
    """Removes stray prompts from hosts. Several workers may do so at the same time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def step(self, pool: Pool) -> None:
        """Go through the list once, for the hosts of the pool that answer.

        Logs an outage and leaves the rest for the next step.
        """
        try:
            listed = {row.host for row in await all_rows(self._engine, _HOSTS, TIMES)}
            for host in pool.answering():
                if host.name in listed:
                    await self.remove_from(host, left_for_s=_JOB_REMOVES_IT_WITHIN_S)
            if listed:
                await first(self._engine, _FORGET_OLD_ONES, {})
        except Unavailable as error:
            log.warning("strays wait", why=error.sentence)

    async def add(self, prompt_id: UUID, host: str) -> None:
        """Write down a prompt that belongs to no request; may be called twice.

        Raises:
            Unavailable: PostgreSQL cannot be reached.
        """
        await first(self._engine, ADD_STRAY, {"prompt_id": prompt_id, "host": host})

    async def strays_on(self, host: str, *, left_for_s: float = 0.0) -> list[Stray]:
        """Return up to 200 stray prompts of a host that were left so long ago, the oldest first.

        Raises:
            Unavailable: PostgreSQL cannot be reached.
        """
        values = {"host": host, "left_for_s": left_for_s}
        return [
            Stray(prompt_id=row.prompt_id, host=row.host, age_s=float(row.age_s))
            for row in await all_rows(self._engine, _ON_HOST, values)
        ]

    async def remove_from(self, host: HostClient, *, left_for_s: float = 0.0) -> None:
        """Remove the prompts that were left so long ago from one host, as far as it answers.

        Raises:
            Unavailable: PostgreSQL cannot be reached.
        """
        for stray in await self.strays_on(host.name, left_for_s=left_for_s):
            try:
                is_removed = await host.cancel_prompt(
                    str(stray.prompt_id), within_s=_CANCEL_TIMEOUT_S
                )
            except HostLost as error:
                log.warning("strays wait", host=host.name, why=error.sentence)
                return
            if is_removed and stray.age_s > _POST_MAY_ARRIVE_WITHIN_S:
                await self._forget(stray)

    async def _forget(self, stray: Stray) -> None:
        await first(self._engine, REMOVE_STRAY, {"prompt_id": stray.prompt_id})
        log.info("stray is gone", host=stray.host, prompt_id=str(stray.prompt_id))
