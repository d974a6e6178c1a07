"""Counts the slots of hosts that several workers share, as leases in Redis.

Each worker counts its own slots itself; the leases make sure that all workers together never use
more slots than the host has. If Redis is away, no worker stops: each of them counts alone until
Redis is back.
"""

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
# Only changes, see imagegen/log_repeats.py.
changes_log = structlog.get_logger(f"{__name__}.changes")

T = TypeVar("T")

SLOT_LEASE_S = 10.0
# After a failure Redis is not asked again for this long: with a frozen Redis each call costs the
# second until it times out.
_RETRY_REDIS_AFTER_S = 1.0
# How long the end of a worker waits for its leases to be released; those that are left expire.
_STOP_TIMEOUT_S = 1.5

# Each host has a sorted set of tokens, scored by the time at which their leases end, in ms. Redis'
# own clock counts, since the clocks of the workers differ. The script takes slots or renews them:
# leases that have ended are removed; one that ends later than any lease can was written before
# Redis' clock was set back, or another server took over, and is shortened; a token that is still in
# the set, or for which there is room, is written with a new end. ARGV: the lease and the longest
# possible lease in ms, then for each key its token and how many slots the host has. It returns 1
# for each key whose lease is held, else 0; for a second it is then known that somebody wants one.
_TAKE_OR_RENEW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local latest = now + ARGV[2]
local held = {}
for i, key in ipairs(KEYS) do
  local token, slots = ARGV[2 * i + 1], tonumber(ARGV[2 * i + 2])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. latest, '+inf')) do
    redis.call('ZADD', key, latest, other)
  end
  held[i] = 0
  if redis.call('ZSCORE', key, token) or redis.call('ZCARD', key) < slots then
    redis.call('ZADD', key, now + ARGV[1], token)
    redis.call('PEXPIREAT', key, redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2])
    held[i] = 1
  else
    redis.call('SET', key .. ':wanted', '', 'PX', 1000)
  end
end
return held
"""


class SharedSlot(Protocol):
    """A reserved slot; other workers cannot take it until it is released."""

    def release(self) -> None:
        """Release the slot at once, without waiting for anything."""


class SlotRegistry(Protocol):
    """The slots of all hosts, counted over all workers."""

    async def take(self, host: str, slots: int) -> SharedSlot | None:
        """Take one of the host's `slots`; None if other workers hold all of them now."""

    async def is_wanted(self, host: str) -> bool:
        """Whether a worker has wanted one of the host's slots lately, in vain."""


class UnsharedSlots:
    """A registry for a worker whose hosts no other worker uses: every slot may be taken."""

    async def take(self, host: str, slots: int) -> SharedSlot | None:  # noqa: ARG002 (the protocol)
        """Take a slot without counting it."""
        return _UnsharedSlot()

    async def is_wanted(self, host: str) -> bool:  # noqa: ARG002 (the protocol)
        """Nobody else wants one."""
        return False


class _UnsharedSlot:
    def release(self) -> None:
        pass


@dataclass(eq=False, kw_only=True)
class RedisSlot:
    """A slot on a host; `is_overcommitted`: it is used without a lease in Redis."""

    host: str
    slots: int
    token: str
    is_overcommitted: bool = False
    _on_release: "Callable[[RedisSlot], None]"

    def release(self) -> None:
        """Release the slot, at once for this worker; may be called twice."""
        self._on_release(self)


def slot_key(host: str) -> str:
    """Return the Redis key of the sorted set of a host's leases."""
    return f"imagegen:slots:{host}"


def _wanted_key(host: str) -> str:
    return f"{slot_key(host)}:wanted"


class RedisSlotRegistry:
    """Takes slots for one worker.

    The timeouts of `redis` must be short: a caller waits for them when Redis is frozen. `owner`
    is a name that makes tokens readable; it need not be unique. `lease_s` is how long the slots
    of a worker that has died stay taken.

    `overcommitted` counts the slots that were used without a lease: those taken while Redis was
    away, and those whose lease has ended meanwhile and went to another worker.
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
        self._script = redis.register_script(_TAKE_OR_RENEW)
        # The random part keeps two workers of one name apart.
        self._owner = f"{owner or 'worker'}:{secrets.token_hex(8)}"
        self._lease_s = lease_s
        self._clock = clock
        self._held: dict[str, RedisSlot] = {}
        self._released: list[RedisSlot] = []
        self._count = 0
        self._is_redis_away = False
        self._retry_at = 0.0
        # Held by a renewal and by the removal of leases, so that they never overlap.
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def held(self) -> int:
        """How many slots this worker holds."""
        return len(self._held)

    async def take(self, host: str, slots: int) -> RedisSlot | None:
        """Take one of the `slots` of a host; None if the workers together hold all of them.

        While Redis is away the slot is granted without a lease. If Redis grants the
        slot after the call was cancelled, it is released at once.
        """
        # In a task of its own: if the call to Redis were cancelled, Redis could still grant the
        # lease, and nobody would know of it.
        taking = self._start(self._take(self._new_slot(host, slots)), name=f"slot on {host}")
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(_release_result)
            raise

    async def is_wanted(self, host: str) -> bool:
        """Whether a worker has wanted a slot within the last second, in vain; False without Redis."""
        try:
            return bool(await self._redis.exists(_wanted_key(host)))
        except (RedisError, OSError):
            return False

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """Renew the leases of all held slots while the block runs."""
        try:
            async with periodic.every(self._lease_s / 3, self._renew, name="leases of slots"):
                yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    while self._tasks:
                        await asyncio.wait(self._tasks)

    def _start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _new_slot(self, host: str, slots: int) -> RedisSlot:
        self._count += 1
        token = f"{self._owner}:{self._count}"
        return RedisSlot(host=host, slots=slots, token=token, _on_release=self._release)

    async def _take(self, slot: RedisSlot) -> RedisSlot | None:
        answers = await self._take_or_renew([slot])
        if answers == [0]:
            return None
        if answers is None:
            self._overcommit(slot)
        # Held also without an answer: Redis may have granted the lease after our timeout, and it
        # must then be renewed and released like any other.
        self._held[slot.token] = slot
        return slot

    async def _renew(self) -> None:
        async with self._lock:
            slots = list(self._held.values())
            answers = await self._take_or_renew(slots) if slots else None
        for slot, is_held in zip(slots, answers or (), strict=False):
            if not is_held and slot.token in self._held:
                self._overcommit(slot)

    async def _take_or_renew(self, slots: Sequence[RedisSlot]) -> list[int] | None:
        """Take or renew leases in one call: 1 or 0 for each slot; None while Redis is away."""
        if self._is_redis_away and self._clock() < self._retry_at:
            return None
        # Set before the call, so that others do not wait for the same timeout meanwhile.
        self._retry_at = self._clock() + _RETRY_REDIS_AFTER_S
        lease_ms = int(self._lease_s * 1000)
        longest_ms = max(lease_ms, int(SLOT_LEASE_S * 1000))
        tokens_and_slots = [value for slot in slots for value in (slot.token, slot.slots)]
        try:
            held: list[int] = await self._script(
                keys=[slot_key(slot.host) for slot in slots],
                args=[lease_ms, longest_ms, *tokens_and_slots],
            )
        except (RedisError, OSError) as error:
            self._note_outage(error)
            return None
        self._note_answer()
        return held

    def _note_outage(self, error: Exception) -> None:
        self._retry_at = self._clock() + _RETRY_REDIS_AFTER_S
        if not self._is_redis_away:
            self._is_redis_away = True
            # The class only: a message of Redis may contain addresses and user names.
            changes_log.warning("slots are not shared: redis is away", error=type(error).__name__)

    def _note_answer(self) -> None:
        if self._is_redis_away:
            self._is_redis_away = False
            changes_log.info("slots are shared again", overcommitted=self.overcommitted)

    def _overcommit(self, slot: RedisSlot) -> None:
        if slot.is_overcommitted:
            return
        slot.is_overcommitted = True
        self.overcommitted += 1
        if not self._is_redis_away:
            log.warning("lease of a slot lost to another worker", host=slot.host)

    def _release(self, slot: RedisSlot) -> None:
        if self._held.pop(slot.token, None) is None:
            return
        self._released.append(slot)
        self._start(self._remove_leases(), name="slots given back")

    async def _remove_leases(self) -> None:
        # A renewal that runs at the same time would write a removed lease again.
        async with self._lock:
            released, self._released = self._released, []
            if not released:
                return
            # A lease that cannot be removed expires.
            with suppress(RedisError, OSError):
                async with self._redis.pipeline(transaction=False) as pipe:
                    for slot in released:
                        pipe.zrem(slot_key(slot.host), slot.token)
                    await pipe.execute()


def _release_result(taking: "asyncio.Task[RedisSlot | None]") -> None:
    if not taking.cancelled() and taking.exception() is None and (slot := taking.result()):
        slot.release()
