"""Callers of a pool for tests: no host is contacted, and the test moves the clock."""

import asyncio
import itertools
import random
from collections import Counter
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Self

from imagegen.comfy.address import HostAddress
from imagegen.comfy.capabilities import Requirements
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost
from imagegen.pool.host import SlotLease
from imagegen.pool.pool import Pool, Reservation
from imagegen.pool.shared_slots import OnRoom, SlotRegistry
from tests.support.prompt_execution import LIMITS


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class ZeroJitter(random.Random):
    """A random source that makes every backoff as short as possible."""

    def random(self) -> float:
        return 0.0


@dataclass
class FakeSlotRegistry:
    """A slot registry shared with other workers, which hold the slots in `theirs`.

    `turns` iterations of the event loop pass before it decides, and `turns_back` until its answer is
    heard.
    """

    turns: int = 0
    turns_back: int = 0
    theirs: Counter[str] = field(default_factory=Counter)
    ours: Counter[str] = field(default_factory=Counter)
    asked: list[str] = field(default_factory=list)
    under_way: int = 0
    _full: dict[str, int] = field(default_factory=dict)
    _on_room: OnRoom = lambda _host, _room: False

    def tell(self, on_room: OnRoom) -> None:
        self._on_room = on_room

    def others_hold(self, host: str, count: int) -> None:
        """Let other workers hold so many slots from now on, and tell ours if it waits for one."""
        self.theirs[host] = count
        self.tell_of_room(host)

    def tell_of_room(self, host: str) -> None:
        slots = self._full.get(host)
        if slots is not None and self.theirs[host] + self.ours[host] < slots:
            del self._full[host]
            self._on_room(host, 1)

    async def settled(self) -> None:
        """Wait until no request for a slot is under way."""
        await run_ready_tasks()
        while self.under_way:
            await run_ready_tasks()

    async def take(
        self, host: str, slots: int, *, wants_more: bool = False, is_in_use: bool = False
    ) -> "FakeSlot | None":
        self.asked.append(host)
        self.under_way += 1
        try:
            for _ in range(self.turns):
                await asyncio.sleep(0)
        finally:
            self.under_way -= 1
        left = slots - self.theirs[host] - self.ours[host] - 1
        if is_in_use:
            left = max(left, 0)
        if left < 0 or (left == 0 and wants_more):
            self._full[host] = slots
        if left >= 0:
            self.ours[host] += 1
        for _ in range(self.turns_back):
            await asyncio.sleep(0)
        return FakeSlot(self, host) if left >= 0 else None

    def is_told_of(self, host: str) -> bool:
        return host in self._full

    async def is_wanted(self, _host: str) -> bool:
        return False


@dataclass(frozen=True)
class FakeSlot:
    others: FakeSlotRegistry
    host: str

    def release(self) -> None:
        self.others.ours[self.host] -= 1
        self.others.ours += Counter()  # forgets what is zero
        # As with Redis, whoever is told hears of it when the release is over.
        asyncio.get_running_loop().call_soon(self.others.tell_of_room, self.host)


_numbers = itertools.count()


@dataclass(eq=False)
class SlotCaller:
    """A caller that asks for a slot, keeps it, and gives it back when told to."""

    pool: Pool
    model_set: str = "ash"
    wants: Requirements | None = None
    left_on: str | None = None
    avoid_host: str | None = None
    user: int | None = None
    is_asked: bool = False
    reservation: Reservation | None = None
    host: str | None = None
    is_resumption: bool = False
    since: float = 0.0
    error: Exception | None = None
    seconds: float | None = None
    lent: asyncio.Event = field(default_factory=asyncio.Event)
    number: int = field(default_factory=lambda: next(_numbers))
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> Self:
        self.task = asyncio.create_task(self._run(), name=f"job for {self.model_set}")
        return self

    async def _run(self) -> None:
        self.since = self.pool._clock()
        async with self._lease() as lease:
            self.host, self.is_resumption = lease.host.name, lease.is_resumption
            self.lent.set()
            await self._done.wait()
            if self.seconds is not None:
                lease.record_drawing(self.seconds)
            if self.error is not None:
                raise self.error

    def _lease(self) -> AbstractAsyncContextManager[SlotLease]:
        return self.pool.lease(
            self.wants or needs(self.model_set),
            avoid_host=self.avoid_host,
            left_on=self.left_on,
            user=self.user,
            is_asked=self.is_asked,
            reservation=self.reservation,
        )

    def finish(self, error: Exception | None = None) -> None:
        self.error = error
        self._done.set()

    async def end(self, error: Exception | None = None) -> None:
        self.finish(error)
        await asyncio.wait([self.task])
        await run_ready_tasks()
        if error is not None:
            assert self.task.exception() is error

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await run_ready_tasks()


@dataclass(eq=False)
class IdleCaller:
    """A caller that takes a slot of an idle host if there is one, until it is told to end."""

    pool: Pool
    name: str
    wants: Requirements
    is_lent: bool = False
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> Self:
        self.task = asyncio.create_task(self._run(), name=f"idle slot of {self.name}")
        return self

    async def _run(self) -> None:
        async with self.pool.lend_idle(self.name, self.wants, self.wanted) as lease:
            if lease is not None:
                self.is_lent = True
                await self._done.wait()

    async def end(self) -> None:
        self._done.set()
        await asyncio.wait([self.task])
        await run_ready_tasks()


def needs(model_set: str) -> Requirements:
    return Requirements(model_set=model_set)


def pool_of(
    *names: str,
    slots: int = 2,
    most: int | None = None,
    clock: Clock | None = None,
    shared: SlotRegistry | None = None,
) -> Pool:
    return Pool(
        [HostClient(HostAddress.parse(name), limits=LIMITS) for name in names],
        slots_per_host=slots,
        most=most,
        clock=clock or Clock(),
        chance=ZeroJitter(),
        shared=shared,
    )


async def jobs_of(pool: Pool, count: int, *model_sets: str) -> list[SlotCaller]:
    """Start so many callers in order; returns when each has a slot or waits."""
    named = [*model_sets, *["ash"] * (count - len(model_sets))]
    jobs = [SlotCaller(pool, model_set).start() for model_set in named]
    await run_ready_tasks()
    return jobs


def silence(pool: Pool, name: str) -> None:
    """Let a host of the pool not answer a probe."""
    pool._tracker.record_silence(pool._hosts[name], HostLost("away"))
    pool._scheduler.assign()


async def run_ready_tasks() -> None:
    """Let everything happen that needs no clock: five iterations of the event loop."""
    for _ in range(5):
        await asyncio.sleep(0)
