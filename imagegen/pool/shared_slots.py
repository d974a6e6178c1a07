"""Slots of hosts that several workers use, as leases in Redis."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imagegen import periodic

log = structlog.get_logger(__name__)

T = TypeVar("T")

SLOT_LEASE_S = 10.0
# After a failure Redis is left alone for so long: a frozen one costs each question a second.
_REST_S = 1.0
# Keys that are not given back by then expire.
_GRACE_S = 1.5

# For each host a sorted set of tokens by the time at which their lease ends, on Redis' own clock,
# since those of the workers differ. Takes a slot or renews it: what has run out makes room, a
# token that is still there or finds room is written with a new end. ARGV: the lease in
# milliseconds, then for each key its token and how many slots the host has.
_HOLD = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local held = {}
for i, key in ipairs(KEYS) do
  local token, slots = ARGV[2 * i], tonumber(ARGV[2 * i + 1])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  held[i] = 0
  if redis.call('ZSCORE', key, token) or redis.call('ZCARD', key) < slots then
    redis.call('ZADD', key, now + ARGV[1], token)
    redis.call('PEXPIREAT', key, redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2])
    held[i] = 1
  end
end
return held
"""


def slot_key(host: str) -> str:
    """Name the sorted set of a host's leases."""
    return f"imagegen:slots:{host}"


@dataclass(eq=False, kw_only=True)
class RedisSlot:
    """A place on a host; `is_overcommitted`: it was lent without the others' consent."""

    host: str
    slots: int
    token: str
    is_overcommitted: bool = False
    _let_go: "Callable[[RedisSlot], None]"

    def release(self) -> None:
        """Give the slot back, at once for this worker; may be called twice."""
        self._let_go(self)


class RedisSlotRegistry:
    """Takes slots for one worker; the client of Redis that it is given must give up quickly.

    `overcommitted` counts the slots that were lent without a lease of Redis, or whose lease ran
    out while Redis was away and went to another worker.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        owner: str | None = None,
        lease_s: float = SLOT_LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.overcommitted = 0
        self._redis = redis
        self._script = redis.register_script(_HOLD)
        # Told apart also when two are given one name.
        self._owner = f"{owner or 'worker'}:{secrets.token_hex(8)}"
        self._lease_s = lease_s
        self._clock = clock
        self._held: dict[str, RedisSlot] = {}
        self._freed: list[RedisSlot] = []
        self._numbers = 0
        self._is_away = False
        self._asks_again_at = 0.0
        self._in_order = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()

    @property
    def held(self) -> int:
        """How many slots this worker has."""
        return len(self._held)

    async def take(self, host: str, slots: int) -> RedisSlot | None:
        """Take one of the `slots` of a host; None if the workers together hold them all.

        While Redis is away the slot is this worker's own opinion.
        """
        # In a task of its own: a question that is broken off could still be answered with yes,
        # and nobody would know of the lease.
        asking = self._start(self._ask(self._slot(host, slots)), name=f"slot on {host}")
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(_release)
            raise

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """Keep the leases of all slots while the block runs."""
        try:
            async with periodic.every(self._lease_s / 3, self._renew, name="leases of slots"):
                yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_S):
                    while self._under_way:
                        await asyncio.wait(self._under_way)

    def _start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=name)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    def _slot(self, host: str, slots: int) -> RedisSlot:
        self._numbers += 1
        token = f"{self._owner}:{self._numbers}"
        return RedisSlot(host=host, slots=slots, token=token, _let_go=self._let_go)

    async def _ask(self, slot: RedisSlot) -> RedisSlot | None:
        answers = await self._hold([slot])
        if answers == [0]:
            return None
        if answers is None:
            self._overcommit(slot)
        # Also a lease that Redis grants too late to be heard is renewed and given back.
        self._held[slot.token] = slot
        return slot

    async def _renew(self) -> None:
        async with self._in_order:
            slots = list(self._held.values())
            answers = await self._hold(slots) if slots else None
        for slot, is_held in zip(slots, answers or (), strict=False):
            if not is_held and slot.token in self._held:
                self._overcommit(slot)

    async def _hold(self, slots: Sequence[RedisSlot]) -> list[int] | None:
        """Take or renew leases in one round trip; None while Redis is away."""
        if self._is_away and self._clock() < self._asks_again_at:
            return None
        # Whoever comes meanwhile does not wait for the same silence.
        self._asks_again_at = self._clock() + _REST_S
        bounds = [fact for slot in slots for fact in (slot.token, slot.slots)]
        try:
            held: list[int] = await self._script(
                keys=[slot_key(slot.host) for slot in slots],
                args=[int(self._lease_s * 1000), *bounds],
            )
        except (RedisError, OSError) as error:
            self._note_outage(error)
            return None
        self._note_answer()
        return held

    def _note_outage(self, error: Exception) -> None:
        self._asks_again_at = self._clock() + _REST_S
        if not self._is_away:
            self._is_away = True
            # The kind only: what Redis says may show addresses and names.
            log.warning("slots are not shared: redis is away", error=type(error).__name__)

    def _note_answer(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info("slots are shared again", overcommitted=self.overcommitted)

    def _overcommit(self, slot: RedisSlot) -> None:
        if slot.is_overcommitted:
            return
        slot.is_overcommitted = True
        self.overcommitted += 1
        if not self._is_away:
            log.warning("lease of a slot lost to another worker", host=slot.host)

    def _let_go(self, slot: RedisSlot) -> None:
        if self._held.pop(slot.token, None) is None:
            return
        self._freed.append(slot)
        self._start(self._give_back(), name="slots given back")

    async def _give_back(self) -> None:
        # Not while a renewal is under way, which would bring the lease to life again.
        async with self._in_order:
            freed, self._freed = self._freed, []
            if not freed:
                return
            # One that cannot be given back runs out.
            with suppress(RedisError, OSError):
                async with self._redis.pipeline(transaction=False) as pipe:
                    for slot in freed:
                        pipe.zrem(slot_key(slot.host), slot.token)
                    await pipe.execute()


def _release(asked: "asyncio.Task[RedisSlot | None]") -> None:
    if not asked.cancelled() and asked.exception() is None and (slot := asked.result()):
        slot.release()


class SharedSlot(Protocol):
    """A slot that other workers see as taken."""

    def release(self) -> None:
        """Give it back at once, without waiting for anything."""


class SlotRegistry(Protocol):
    """The slots of all hosts, over all workers."""

    async def take(self, host: str, slots: int) -> SharedSlot | None:
        """Take one of the host's `slots`; None: other workers hold them all now."""


class UnsharedSlots:
    """Nobody else is there: every slot may be taken."""

    async def take(self, host: str, slots: int) -> SharedSlot | None:  # noqa: ARG002 (the protocol)
        """Take a slot that nobody counts."""
        return _Uncounted()


class _Uncounted:
    def release(self) -> None:
        pass
