"""Tender: looks after one host, so that a pool knows what it has and when it is back."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from imagegen.comfy.errors import HostLost
from imagegen.comfy.lessons import Clock, Lessons
from imagegen.comfy.member import Member

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


class Tender:
    """Probes a host that rests once it is due, an idle one now and then; reads its stock."""

    def __init__(
        self,
        member: Member,
        lessons: Lessons,
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

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Look after the host while the block runs."""
        task = asyncio.create_task(self._walk(), name=f"tender of {self._member.name}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=_GRACE_S)

    async def step(self) -> None:
        """Look at the host if it is time."""
        member = self._member
        if member.asked_for.is_set():
            member.asked_for.clear()
            self._stock_at = self._clock()
        if self.next_at() <= self._clock():
            await self._look()

    def next_at(self) -> float:
        """Say when it is time for the next look, on the pool's clock."""
        if self._member.health.is_resting:
            return self._member.health.rests_until
        return min(self._probe_at, self._stock_at)

    async def _walk(self) -> None:
        while True:
            try:
                await self.step()
            except Exception:
                log.exception("a look at a host failed", host=self._member.name)
                self._put_off()
            await self._pause()

    def _put_off(self) -> None:
        self._probe_at = self._stock_at = self._clock() + _PROBE_EVERY_S

    async def _pause(self) -> None:
        await asyncio.sleep(_BREATH_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self.next_at() - self._clock())):
                await self._member.asked_for.wait()

    async def _look(self) -> None:
        before = self._member.health
        try:
            await self._probe()
        except HostLost as error:
            if self._may_judge(before):
                self._lessons.silent(self._member, error)
        else:
            if not before.is_up or self._stock_at <= self._clock():
                await self._read_stock()
            # Not before its stock is known: it may be back with other files.
            if self._member.health is before:
                self._lessons.answered(self._member)
        self._probe_at = self._clock() + self._spread(_PROBE_EVERY_S)
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

    async def _read_stock(self) -> None:
        member = self._member
        try:
            async with asyncio.timeout(_STOCK_S):
                stock = await member.client.stock()
        except (HostLost, ValueError, TimeoutError) as error:
            log.warning("stock of a host not read", host=member.name, why=str(error) or "too slow")
            self._stock_at = self._clock() + self._spread(_STOCK_AGAIN_S)
        else:
            member.restock(stock, now=self._clock())
            self._stock_at = self._clock() + self._spread(_STOCK_EVERY_S)

    def _spread(self, seconds: float) -> float:
        return seconds * (1 + self._chance.random() / 2)
