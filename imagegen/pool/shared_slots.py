"""Counts the slots of hosts that several workers share, as leases in Redis.

Each worker counts its own slots itself; the leases make sure that all workers together never use
more slots than the host has. A worker that finds a host full stands in line for it, and the one
that gives a slot back tells the first in line. If Redis is away, no worker stops: each of them
counts alone until Redis is back.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imagegen import periodic
from imagegen.pool import slot_scripts
from imagegen.pool.slot_scripts import line_key, slot_key

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
# How often the full hosts are looked at, all by one call: a lease may have expired, and a message
# may have been lost.
_LOOK_EVERY_S = 1.0
# How long a worker stays in the line for a full host; each look renews it.
_IN_LINE_S = 10.0

# Told of a host: so many of its slots may be tried; None: any number. Returns whether it was of use.
OnRoom = Callable[[str, int | None], bool]


class SharedSlot(Protocol):
    """A reserved slot; other workers cannot take it until it is released."""

    def release(self) -> None:
        """Release the slot at once, without waiting for anything."""


class SlotRegistry(Protocol):
    """The slots of all hosts, counted over all workers."""

    async def take(
        self, host: str, slots: int, *, wants_more: bool = False, is_in_use: bool = False
    ) -> SharedSlot | None:
        """Take one of the host's `slots`; None if all of them are held now.

        Who gets none is told when a slot is free, and so is who `wants_more` and gets the last one.
        `is_in_use`: its prompt is on the host already, so it is taken also if none is left.
        """

    def tell(self, on_room: OnRoom) -> None:
        """Say what is called with a host that has free slots again, after none was left."""

    def is_told_of(self, host: str) -> bool:
        """Whether none of the host's slots was left, so that the callback of `tell` is still to come."""

    async def is_wanted(self, host: str) -> bool:
        """Whether another worker waits for one of the host's slots."""


class UnsharedSlots:
    """A registry for a worker whose hosts no other worker uses: every slot may be taken."""

    async def take(
        self,
        host: str,  # noqa: ARG002 (the protocol)
        slots: int,  # noqa: ARG002 (the protocol)
        *,
        wants_more: bool = False,  # noqa: ARG002 (the protocol)
        is_in_use: bool = False,  # noqa: ARG002 (the protocol)
    ) -> SharedSlot | None:
        """Take a slot without counting it."""
        return _UnsharedSlot()

    async def is_wanted(self, host: str) -> bool:  # noqa: ARG002 (the protocol)
        """Nobody else wants one."""
        return False

    def tell(self, on_room: OnRoom) -> None:
        """Do nothing: no host is ever full because of others."""

    def is_told_of(self, host: str) -> bool:  # noqa: ARG002 (the protocol)
        """No host is ever full because of others."""
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


class RedisSlotRegistry:
    """Takes slots for one worker.

    The timeouts of `redis` must be short: a caller waits for them when Redis is frozen. `worker` is
    the id of this worker, which no other one has; None: a new one. Whoever listens to its
    `room_channel` calls `note_room` with each message; without that, a free slot is found by the
    look at all full hosts, every `look_every_s` seconds. `lease_s` is how long the slots of a worker
    stay taken that has died, unless another one notices its death and calls `release_of`.

    `overcommitted` counts the slots that were used without a lease: those taken while Redis was
    away, and those whose lease has ended meanwhile and went to another worker.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        worker: str | None = None,
        lease_s: float = SLOT_LEASE_S,
        look_every_s: float = _LOOK_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.overcommitted = 0
        self._redis = redis
        self._take_script = redis.register_script(slot_scripts.TAKE)
        self._renew_script = redis.register_script(slot_scripts.RENEW)
        self._release_script = redis.register_script(slot_scripts.RELEASE)
        self._look_script = redis.register_script(slot_scripts.LOOK)
        self._worker = worker or secrets.token_hex(8)
        self._lease_s = lease_s
        self._look_every_s = look_every_s
        self._on_room: OnRoom = lambda _host, _room: False
        # By host: how many slots it has, of which none was left.
        self._full: dict[str, int] = {}
        # How often this worker was told of room on a host.
        self._told: Counter[str] = Counter()
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

    def tell(self, on_room: OnRoom) -> None:
        """Say what is called with a host that has free slots again, after none was left."""
        self._on_room = on_room

    def is_told_of(self, host: str) -> bool:
        """Whether none of the host's slots was left, so that the callback of `tell` is still to come."""
        return host in self._full

    async def take(
        self, host: str, slots: int, *, wants_more: bool = False, is_in_use: bool = False
    ) -> RedisSlot | None:
        """Take one of the `slots` of a host; None if the workers together hold all of them.

        Who gets none is told when a slot is free, and so is who `wants_more` and gets the last one.
        `is_in_use`: its prompt is on the host already, so it is taken also if none is left. While
        Redis is away the slot is granted without a lease. If Redis grants the slot after the call
        was cancelled, it is released at once.
        """
        # In a task of its own: if the call to Redis were cancelled, Redis could still grant the
        # lease, and nobody would know of it.
        slot = self._new_slot(host, slots)
        work = self._take(slot, wants_more=wants_more, is_in_use=is_in_use)
        taking = self._start(work, name=f"slot on {host}")
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(_release_result)
            raise

    async def is_wanted(self, host: str) -> bool:
        """Whether a worker waits in line for a slot of the host; False without Redis."""
        try:
            return bool(await self._redis.exists(line_key(host)))
        except (RedisError, OSError):
            return False

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """Renew the leases of all held slots, and look at full hosts, while the block runs."""
        try:
            async with (
                periodic.every(self._lease_s / 3, self._renew, name="leases of slots"),
                periodic.every(self._look_every_s, self._look, name="full hosts"),
            ):
                yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    while self._tasks:
                        await asyncio.wait(self._tasks)

    def note_room(self, host: str) -> None:
        """Use the slot that a host has for this worker, or pass it on to the next in line."""
        if not self._tell_of_room(host, 1):
            self._start(self._release_in_redis([(host, "")]), name=f"slot on {host} passed on")

    async def release_of(self, worker: str, hosts: Collection[str]) -> None:
        """Release all slots of a worker that has died. If Redis is away, they expire.

        Raises:
            RedisError: Redis is away. An OSError may come instead.
        """
        await self._call_release([(host, f"{worker}:") for host in hosts])

    def _start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _new_slot(self, host: str, slots: int) -> RedisSlot:
        self._count += 1
        token = f"{self._worker}:{self._count}"
        return RedisSlot(host=host, slots=slots, token=token, _on_release=self._release)

    async def _take(
        self, slot: RedisSlot, *, wants_more: bool, is_in_use: bool
    ) -> RedisSlot | None:
        told = self._told[slot.host]
        left = await self._call(
            lambda: self._take_script(
                keys=[slot_key(slot.host), line_key(slot.host)],
                args=[
                    slot.token,
                    self._worker,
                    int(wants_more),
                    int(is_in_use),
                    slot.slots,
                    *self._lease_ms,
                    int(_IN_LINE_S * 1000),
                ],
            )
        )
        if left is None:
            self._overcommit(slot)
        elif left < 0 or (left == 0 and wants_more):
            self._full[slot.host] = slot.slots
            if left < 0 and self._told[slot.host] != told:
                # It has become free while the answer was under way.
                return await self._take(slot, wants_more=wants_more, is_in_use=is_in_use)
            if left < 0:
                return None
        # Held also without an answer: Redis may have granted the lease after our timeout, and it
        # must then be renewed and released like any other.
        self._held[slot.token] = slot
        return slot

    async def _renew(self) -> None:
        async with self._lock:
            slots = list(self._held.values())
            answers = await self._call_renew(slots) if slots else None
        for slot, is_held in zip(slots, answers or (), strict=False):
            if not is_held and slot.token in self._held:
                self._overcommit(slot)

    async def _call_renew(self, slots: Sequence[RedisSlot]) -> list[int] | None:
        tokens_and_slots = [value for slot in slots for value in (slot.token, slot.slots)]
        answers: list[int] | None = await self._call(
            lambda: self._renew_script(
                keys=[slot_key(slot.host) for slot in slots],
                args=[*self._lease_ms, *tokens_and_slots],
            )
        )
        return answers

    async def _look(self) -> None:
        """Look whether the full hosts have room again; if Redis is away, all of them have."""
        full = dict(self._full)
        if not full:
            return
        answers = await self._call(
            lambda: self._look_script(
                keys=[key for host in full for key in (slot_key(host), line_key(host))],
                args=[self._worker, self._lease_ms[1], int(_IN_LINE_S * 1000), *full.values()],
            )
        )
        for host, left in zip(full, answers or [None] * len(full), strict=True):
            if left is None or left > 0:
                self._tell_of_room(host, left)

    def _tell_of_room(self, host: str, room: int | None) -> bool:
        self._full.pop(host, None)
        self._told[host] += 1
        return self._on_room(host, room)

    @property
    def _lease_ms(self) -> tuple[int, int]:
        """The time of a lease and the longest that a worker may have, in ms."""
        lease_ms = int(self._lease_s * 1000)
        return lease_ms, max(lease_ms, int(SLOT_LEASE_S * 1000))

    async def _call(self, script: Callable[[], Awaitable[Any]]) -> Any:
        """Return what a script answers; None while Redis is away."""
        if self._is_redis_away and self._clock() < self._retry_at:
            return None
        # Set before the call, so that others do not wait for the same timeout meanwhile.
        self._retry_at = self._clock() + _RETRY_REDIS_AFTER_S
        try:
            answer = await script()
        except (RedisError, OSError) as error:
            self._note_outage(error)
            return None
        self._note_answer()
        return answer

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
            await self._release_in_redis([(slot.host, slot.token) for slot in released])

    async def _release_in_redis(self, tokens: Sequence[tuple[str, str]]) -> None:
        """Release slots, each a host and a token, and tell the first in line for each host.

        An empty token releases nothing: its slot is passed on. A lease that cannot be removed
        expires.
        """
        with suppress(RedisError, OSError):
            await self._call_release(tokens)

    async def _call_release(self, tokens: Sequence[tuple[str, str]]) -> None:
        woken: list[int] = await self._release_script(
            keys=[key for host, _ in tokens for key in (slot_key(host), line_key(host))],
            args=[
                self._worker,
                slot_scripts.CHANNELS,
                *(value for pair in tokens for value in pair),
            ],
        )
        for (host, _), is_ours in zip(tokens, woken, strict=True):
            if is_ours:
                self.note_room(host)


def _release_result(taking: "asyncio.Task[RedisSlot | None]") -> None:
    if not taking.cancelled() and taking.exception() is None and (slot := taking.result()):
        slot.release()
