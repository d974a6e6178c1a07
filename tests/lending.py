"""Callers of a pool for tests: no host is asked, and the test moves the clock."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Self

from imagegen.comfy.address import HostAddress
from imagegen.comfy.client import HostClient
from imagegen.comfy.pool import Pool
from imagegen.comfy.stock import Needs
from tests.drawing import LIMITS


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class NoChance(random.Random):
    """Chance that makes every rest as short as it can be."""

    def random(self) -> float:
        return 0.0


@dataclass(eq=False)
class Job:
    """Somebody who asks for a slot, keeps it, and gives it back when told to."""

    pool: Pool
    model_set: str = "ash"
    host: str | None = None
    rather_not: str | None = None
    error: Exception | None = None
    lent: asyncio.Event = field(default_factory=asyncio.Event)
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> Self:
        self.task = asyncio.create_task(self._run(), name=f"job for {self.model_set}")
        return self

    async def _run(self) -> None:
        async with self.pool.lease(needs(self.model_set), rather_not=self.rather_not) as lease:
            self.host = lease.host.name
            self.lent.set()
            await self._done.wait()
            if self.error is not None:
                raise self.error

    async def end(self, error: Exception | None = None) -> None:
        self.error = error
        self._done.set()
        await asyncio.wait([self.task])
        await ticks()
        if error is not None:
            assert self.task.exception() is error

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await ticks()


def needs(model_set: str) -> Needs:
    return Needs(model_set=model_set)


def pool_of(
    *names: str, slots: int = 2, most: int | None = None, clock: Clock | None = None
) -> Pool:
    clients = [HostClient(HostAddress.parse(name), limits=LIMITS) for name in names]
    return Pool(clients, slots_per_host=slots, most=most, clock=clock or Clock(), chance=NoChance())


async def jobs_of(pool: Pool, count: int, *model_sets: str) -> list[Job]:
    """Let so many ask, in order, and return when each has a slot or waits."""
    named = [*model_sets, *["ash"] * (count - len(model_sets))]
    jobs = [Job(pool, model_set).start() for model_set in named]
    await ticks()
    return jobs


async def ticks() -> None:
    """Let everything happen that can without a clock."""
    for _ in range(5):
        await asyncio.sleep(0)
