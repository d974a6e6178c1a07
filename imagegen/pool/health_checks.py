"""Tender: looks after one host, so that a pool knows what it has and when it is back."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from imagegen.comfy.errors import HostLost
from imagegen.pool.health_tracking import Clock, HealthTracker
from imagegen.pool.host import PooledHost

log = structlog.get_logger(__name__)

# What has not answered by then is away; a frozen host lets one wait for ever.
_PROBE_S = 5.0
# A host with many files on a slow disk needs long; without its stock it is used all the same.
_STOCK_S = 15.0
_STOCK_EVERY_S = 300.0
_STOCK_AGAIN_S = 15.0
# Idle hosts are asked too: a request should not be the first to find out.
_PROBE_EVERY_S = 20.0
# A host that refuses one prompt after the other need not be looked at after each.
_BREATH_S = 0.1
_GRACE_S = 1.0


class HealthChecker:
    """Probes a host that rests once it is due, an idle one now and then; reads its stock."""

    def __init__(
        self,
        member: PooledHost,
        lessons: HealthTracker,
        *,
        clock: Clock,
        chance: random.Random,
        changed: Callable[[], None],
    ) -> None:
        self._member = member
        self._lessons = lessons
        self._clock = clock
        self._chance = chance
        self._changed = changed
        self._probe_at = self._stock_at = clock()
        self._is_over = False
        self.has_looked = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look after the host while the block runs."""
        task = asyncio.create_task(self._run(), name=f"tender of {self._member.name}")
        try:
            yield
        finally:
            # Both: a cancellation that a library swallows would let the walk go on.
            self._is_over = True
            task.cancel()
            await asyncio.wait({task}, timeout=_GRACE_S)

    async def step(self) -> None:
        """Look at the host if it is time."""
        member = self._member
        if member.asked_for.is_set():
            member.asked_for.clear()
            self._stock_at = self._clock()
        if self.next_at() <= self._clock():
            await self._check()

    def next_at(self) -> float:
        """Say when it is time for the next look, on the pool's clock."""
        if self._member.health.is_resting:
            return self._member.health.rests_until
        return min(self._probe_at, self._stock_at)

    async def _run(self) -> None:
        while not self._is_over:
            try:
                await self.step()
            except Exception:
                log.exception("a look at a host failed", host=self._member.name)
                self._postpone()
            await self._pause()

    def _postpone(self) -> None:
        self._probe_at = self._stock_at = self._clock() + _PROBE_EVERY_S
        if self._member.health.is_resting:
            # Its rest is over, or nobody would have looked: without another there is no pause.
            self._lessons.record_silence(self._member, HostLost("a fault of ours, see the log"))

    async def _pause(self) -> None:
        await asyncio.sleep(_BREATH_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self.next_at() - self._clock())):
                await self._member.asked_for.wait()

    async def _check(self) -> None:
        before = self._member.health
        try:
            await self._probe()
        except HostLost as error:
            if self._may_judge(before):
                self._lessons.record_silence(self._member, error)
        else:
            if before.is_resting or self._stock_at <= self._clock():
                await self._read_capabilities()
            # Not before its stock is known: it may be back with other files. Another object
            # than before means that a prompt has told more of the host meanwhile.
            if self._member.health is before:
                self._lessons.record_answer(self._member)
        self._probe_at = self._clock() + self._spread(_PROBE_EVERY_S)
        self.has_looked.set()
        self._changed()

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(_PROBE_S):
                await self._member.client.probe()
        except TimeoutError:
            raise HostLost(f"{self._member.name} does not answer within {_PROBE_S:g} s") from None

    def _may_judge(self, before: object) -> bool:
        # A prompt that is on the host knows better than a probe that timed out beside it.
        member = self._member
        return member.health is before and not (member.health.is_up and member.taken)

    async def _read_capabilities(self) -> None:
        member = self._member
        try:
            async with asyncio.timeout(_STOCK_S):
                stock = await member.client.capabilities()
        except (HostLost, ValueError, TimeoutError) as error:
            log.warning("stock of a host not read", host=member.name, why=str(error) or "too slow")
            self._stock_at = self._clock() + self._spread(_STOCK_AGAIN_S)
        else:
            member.set_capabilities(stock, now=self._clock())
            self._stock_at = self._clock() + self._spread(_STOCK_EVERY_S)

    def _spread(self, seconds: float) -> float:
        return seconds * (1 + self._chance.random() / 2)
