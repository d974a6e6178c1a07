"""What a worker asks others for when Prometheus asks it, kept for a while and within a limit of time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import and_, case, func, not_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.tables import NOBODY, OPEN, ImageRequest
from imagegen.comfy.client import HostClient
from imagegen.comfy.host_report import HostResources
from imagegen.db.engine import run_statement
from imagegen.errors import ImagegenError
from imagegen.monitoring.readiness import Readiness
from imagegen.pipeline.context import JobContext
from imagegen.pool.pool import Pool
from imagegen.requests.pauses import IS_PAUSED

ResultT = TypeVar("ResultT")

# However many ask, each question is asked at most this often.
_FRESH_S = 5.0
# What is older is no news: its series end, as those of a worker that is gone do.
_NEWS_FOR_S = 30.0
_WITHIN_S = 5.0
_CANCEL_WITHIN_S = 1.0

# What the state of a queued request is called in the metrics while an operator has paused it.
PAUSED = "paused"
_IS_WAITED_FOR = and_(ImageRequest.user_id != NOBODY, not_(IS_PAUSED))
_QUEUED_AT = func.min(ImageRequest.queued_at).filter(_IS_WAITED_FOR)
_OPEN_REQUESTS = (
    select(
        case((IS_PAUSED, PAUSED), else_=ImageRequest.state).label("told_as"),
        func.count().label("number"),
        func.extract("epoch", func.clock_timestamp() - _QUEUED_AT).label("age_s"),
    )
    .where(ImageRequest.state.in_(OPEN))
    .group_by("told_as")
)


@dataclass(frozen=True, kw_only=True)
class OpenRequestCounts:
    """The open requests of all workers: how many in each state, those that are paused as `paused`.

    `oldest_s` is for how many seconds somebody has waited, 0 if nobody waits. It leaves out what is
    paused, and covers.
    """

    counts: Mapping[str, int]
    oldest_s: float


class Reading(Generic[ResultT]):
    """The newest answer to one question, for as long as it is news."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[ResultT]],
        *,
        within_s: float = _WITHIN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._within_s = within_s
        self._clock = clock
        self._answer: ResultT | None = None
        self._answered_at = float("-inf")

    @property
    def value(self) -> ResultT | None:
        """The newest answer; None if there is none of the last 30 s."""
        return self._answer if self._clock() - self._answered_at < _NEWS_FOR_S else None

    async def step(self) -> None:
        """Ask once. If there is no answer, the one before stays for as long as it is news."""
        try:
            async with asyncio.timeout(self._within_s):
                self._answer = await self._ask()
        except (ImagegenError, TimeoutError):
            return  # told by the readiness checks and by the jobs that it stops
        self._answered_at = self._clock()


class Readings:
    """Everything that is asked, all at the same time: no answer waits for another one.

    `engine` is one for such questions, which no job keeps busy. While nobody calls `refresh`,
    nothing is asked.
    """

    def __init__(self, context: JobContext, readiness: Readiness, engine: AsyncEngine) -> None:
        self._pool = context.pool
        self._run: asyncio.Task[None] | None = None
        self._ended_at = float("-inf")
        self.readiness = Reading(readiness.report)
        self.open_requests = Reading(lambda: read_open_requests(engine))
        self.hosts = Reading(lambda: read_hosts(self._pool))
        self.store_free_bytes = Reading(context.image_store.free_bytes)
        self.spent = Reading(context.cost_limit.spent)

    async def refresh(self, *, within_s: float) -> None:
        """Ask everything, unless that was done within the last 5 s; return after `within_s` at most.

        A server that takes longer is waited for in the background. It raises nothing.
        """
        is_running = self._run is not None and not self._run.done()
        if not is_running and time.monotonic() - self._ended_at >= _FRESH_S:
            self._run = asyncio.create_task(self._ask_all(), name="readings")
        if self._run is not None:
            await asyncio.wait({self._run}, timeout=within_s)

    async def close(self) -> None:
        """Cancel what is being asked, and wait up to a second for its end."""
        if self._run is not None:
            self._run.cancel()
            await asyncio.wait({self._run}, timeout=_CANCEL_WITHIN_S)

    async def _ask_all(self) -> None:
        await asyncio.gather(
            self.readiness.step(),
            self.open_requests.step(),
            self.hosts.step(),
            self.store_free_bytes.step(),
            self.spent.step(),
        )
        self._ended_at = time.monotonic()


async def read_open_requests(engine: AsyncEngine) -> OpenRequestCounts:
    """Return the open requests of all workers.

    Raises:
        Unavailable: PostgreSQL is away.
    """

    async def step(connection: AsyncConnection) -> OpenRequestCounts:
        rows = (await connection.execute(_OPEN_REQUESTS)).all()
        return OpenRequestCounts(
            counts=dict.fromkeys((*OPEN, PAUSED), 0) | {row.told_as: row.number for row in rows},
            oldest_s=max((float(row.age_s) for row in rows if row.age_s is not None), default=0.0),
        )

    return await run_statement(engine, step)


async def read_hosts(pool: Pool) -> Mapping[str, HostResources]:
    """Return the memory and the queue of each host that answers, by its name."""
    clients = pool.answering()
    answers = await asyncio.gather(*(_resources(client) for client in clients))
    return {
        client.name: answer
        for client, answer in zip(clients, answers, strict=True)
        if answer is not None
    }


async def _resources(client: HostClient) -> HostResources | None:
    try:
        # A little less than the time of the reading, so that one host cannot spoil it for all.
        async with asyncio.timeout(0.8 * _WITHIN_S):
            return await client.resources()
    except (ImagegenError, TimeoutError):
        return None
