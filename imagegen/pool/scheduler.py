"""SlotScheduler: which of the waiting callers gets which slot, and when."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from uuid import UUID

from imagegen.comfy.capabilities import Missing, Requirements, nobody_can_draw
from imagegen.comfy.errors import NobodyCanDraw
from imagegen.db.tables import HostUse
from imagegen.pool.health_tracking import Clock
from imagegen.pool.host import PooledHost, SlotLease
from imagegen.pool.placement import Candidate, begins_much_sooner, choose_host, sooner_host
from imagegen.pool.wait_queue import SlotGrant, Waiter, WaitQueue

# When a waiter is considered again that waits for a host with its models though another is free.
_RECONSIDER_EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class QueuePlace:
    """Where a request stands in the queue for slots.

    `number`: 1 for the next one. `ends_s`: after how many seconds its prompt will probably have
    ended, None if unknown.
    """

    number: int
    ends_s: float | None


class SlotScheduler:
    """Grants the slots of one worker's hosts to the callers that wait, each on the best host.

    `hosts` are those of the pool, by name, which adds and removes them and then calls `assign`.
    `most` caps the slots lent at one time over all hosts; None: all slots.
    """

    def __init__(self, hosts: Mapping[str, PooledHost], *, most: int | None, clock: Clock) -> None:
        self._hosts = hosts
        self._most = most
        self._clock = clock
        self._queue = WaitQueue()
        # By host of which an idle slot is lent, what is set when somebody wants that slot.
        self._giving_way: dict[PooledHost, asyncio.Event] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def taken(self) -> int:
        """How many slots are lent."""
        return sum(host.taken for host in self._hosts.values())

    @property
    def slots(self) -> int:
        """How many slots may be lent at one time."""
        all_slots = sum(host.slots for host in self._hosts.values())
        return all_slots if self._most is None else min(all_slots, self._most)

    @property
    def waiting(self) -> int:
        """How many callers wait for a slot."""
        return len(self._queue)

    def waiting_for(self, host: PooledHost) -> int:
        """Return how many of the callers who wait could draw on this host."""
        return sum(count for waiter, count in self._queue.counts() if _could_draw(host, waiter))

    def is_wanted(self, host: PooledHost) -> bool:
        """Whether anybody wants a slot of a host besides the first one that is lent."""
        if host.taken > 1 or host.queue.others or host.use is not HostUse.ACTIVE:
            return True
        is_last_slot = self.taken >= self.slots
        return any(is_last_slot or _could_draw(host, waiter) for waiter, _ in self._queue.counts())

    @contextmanager
    def giving_way(self, host: PooledHost, wanted: asyncio.Event) -> Iterator[None]:
        """Set `wanted` as soon as anybody wants the lent slot of the host, while the block runs."""
        self._giving_way[host] = wanted
        try:
            self.tell_who_gives_way()
            yield
        finally:
            del self._giving_way[host]

    def tell_who_gives_way(self) -> None:
        """Look whether anybody wants a slot that is lent to somebody who gives way."""
        for host, wanted in self._giving_way.items():
            if self.is_wanted(host):
                wanted.set()

    async def acquire(self, waiter: Waiter) -> SlotGrant:
        """Wait for a slot of this worker; the caller releases it.

        Raises:
            NobodyCanDraw: every host has just said that it lacks something that is required.
        """
        self._queue.add(waiter)
        self.assign()
        try:
            return await waiter.slot
        except asyncio.CancelledError:
            # The slot may have been granted in the moment of the cancellation.
            if (grant := waiter.granted()) is not None:
                self.release_untried(grant)
            raise
        finally:
            self._queue.remove(waiter)

    def release(self, grant: SlotGrant) -> None:
        """Take back the slot of a grant."""
        grant.host.queue.remove(grant.prompt, now=self._clock())
        self.assign()

    def release_unused(self, grant: SlotGrant) -> None:
        """Take back the slot of a grant whose prompt was never given to the host."""
        grant.host.take_back(grant.prompt, now=self._clock())
        self.assign()

    def release_untried(self, grant: SlotGrant) -> None:
        """Take back the slot of a grant for which the other workers were not asked to the end."""
        grant.host.room = None
        self.release_unused(grant)

    def assign(self) -> None:
        """Grant free slots to waiters, in the order of the queue.

        Of the waiters of one kind only the first is looked at, and the next one when it has its slot
        or its error.
        """
        heads = self._queue.heads()
        blocked: list[Waiter] = []
        has_free_host = self._has_free_host()
        while heads:
            waiter = heads.pop()
            if (error := self._error_if_nobody_can_draw(waiter)) is not None:
                waiter.reject(error)
            elif (host := self._choose(waiter, has_free_host=has_free_host)) is not None:
                self._assign_to(waiter, host)
                has_free_host = self._has_free_host()
                # What the host has or does now may be the reason for which others take another one.
                heads.push(*blocked)
                blocked.clear()
            else:
                blocked.append(waiter)
                continue
            if (following := self._queue.first_like(waiter)) is not None:
                heads.push(following)
        self.tell_who_gives_way()
        self._set_timer(is_needed=has_free_host)

    def place(self, request_id: UUID) -> QueuePlace | None:
        """Return the place of a request in the queue for slots; None if it does not wait."""
        for ahead, waiter in enumerate(self._queue):
            if waiter.request_id == request_id:
                return QueuePlace(number=ahead + 1, ends_s=self._ends_s(waiter, ahead))
        return None

    def sooner_host(self, lease: SlotLease, *, ahead: int) -> str | None:
        """Return the name of a free host that would begin the prompt of a lease much sooner.

        `ahead` is how many prompts the host of the lease draws before it. None: no other host
        would, or it is the prompt of an earlier job.
        """
        if not self._has_free_host():
            return None
        return sooner_host(self._others(lease), wait_s=self._wait_s(lease, ahead))

    def is_sooner_elsewhere(self, lease: SlotLease, *, ahead: int) -> bool:
        """Whether another host, free or not, would begin the prompt of a lease much sooner."""
        wait_s = self._wait_s(lease, ahead)
        return any(begins_much_sooner(each, wait_s=wait_s) for each in self._others(lease))

    def remaining_s(self, host: PooledHost) -> float | None:
        """Return how many seconds all prompts on a host still take; None if unknown."""
        other_s = host.other_s(self._typical_s())
        return _finite(host.queue.remaining_s(self._clock(), other_s=other_s))

    def _has_free_host(self) -> bool:
        return any(host.is_free() for host in self._hosts.values())

    def _error_if_nobody_can_draw(self, waiter: Waiter) -> NobodyCanDraw | None:
        if _prompt_host(waiter) is not None:
            return None
        hosts: list[PooledHost] = []
        missing_by_host: dict[str, tuple[Missing, ...]] = {}
        for name, host in self._hosts.items():
            # Not those that leave; a host that is drained may be back.
            if host.use is not HostUse.REMOVED:
                missing = host.missing(waiter.requirements)
                if not missing:
                    return None  # nothing, or it is unknown
                hosts.append(host)
                missing_by_host[name] = missing
        # Without any host nobody knows what the next one will have.
        if not hosts:
            return None
        # What a host lacked some time ago it may have now, so it is asked again before a request
        # ends over it. A list, since each of them is to be asked.
        asked = [
            host.ask_again(waiter.requirements, since=waiter.since, refused_since=waiter.asked_at)
            for host in hosts
        ]
        return None if any(asked) else nobody_can_draw(missing_by_host)

    def _choose(self, waiter: Waiter, *, has_free_host: bool) -> PooledHost | None:
        left_on = _prompt_host(waiter)
        if left_on is not None and not left_on.health.is_silent:
            # Without a free slot, too: the prompt is there already, and if nobody watches it while it
            # hangs, those who have the slots wait behind it for ever.
            return left_on
        if self._most is not None and self.taken >= self._most:
            return None
        if not has_free_host:
            return None
        candidates = self._candidates(
            waiter.requirements,
            lambda host: left_on is None or _is_asked_since(left_on, host),
        )
        name = choose_host(candidates, avoid_host=waiter.avoid_host, prefer_host=waiter.prefer_host)
        return None if name is None else self._hosts[name]

    def _candidates(
        self, requirements: Requirements, is_eligible: Callable[[PooledHost], bool]
    ) -> list[Candidate]:
        """Return the eligible hosts that could draw this now or soon."""
        now, change_s, typical_s = self._clock(), self._change_s(), self._typical_s()
        return [
            host.candidate(requirements, now, change_s=change_s, typical_s=typical_s)
            for host in self._hosts.values()
            if host.use is HostUse.ACTIVE
            and not host.missing(requirements)
            and host.health.usable_slots(host.slots)
            and is_eligible(host)
        ]

    def _others(self, lease: SlotLease) -> list[Candidate]:
        """Return the hosts other than that of the lease; none for the prompt of an earlier job."""
        if lease.requirements is None:
            return []
        return self._candidates(lease.requirements, lambda host: host.client is not lease.host)

    def _wait_s(self, lease: SlotLease, ahead: int) -> float:
        host = self._hosts[lease.host.name]
        other_s = host.other_s(self._typical_s())
        return host.queue.wait_s(ahead, self._clock(), other_s=other_s)

    def _typical_s(self) -> float | None:
        """Return how long a drawing takes on average over the hosts, in seconds; None if unknown."""
        hosts_s = [host.estimate.seconds() for host in self._hosts.values()]
        known_s = [each for each in hosts_s if each is not None]
        return fmean(known_s) if known_s else None

    def _change_s(self) -> float:
        """Return what a change of models costs on average, in seconds; 0 if unknown."""
        changes_s = [host.estimate.change_s for host in self._hosts.values()]
        known_s = [each for each in changes_s if each is not None]
        return fmean(known_s) if known_s else 0.0

    def _assign_to(self, waiter: Waiter, host: PooledHost) -> None:
        prompt = host.lend(waiter.requirements_on(host), now=self._clock())
        waiter.grant(SlotGrant(host, prompt))
        self._queue.served(waiter)

    def _ends_s(self, waiter: Waiter, ahead: int) -> float | None:
        """Estimate after how many seconds the prompt of a waiter will have ended; None if unknown."""
        candidates = self._candidates(waiter.requirements, lambda host: host.health.is_up)
        drawings_s = [each.seconds for each in candidates if each.seconds is not None]
        if not drawings_s:
            return None
        drawing_s = fmean(drawings_s)
        before_s = sum(each.left_s for each in candidates) + ahead * drawing_s
        return _finite(before_s / len(candidates) + drawing_s)

    def _set_timer(self, *, is_needed: bool) -> None:
        """Assign again later if a waiter waits for models though another host is free.

        That wait may take longer than estimated, and no other event would call `assign`.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if is_needed and len(self._queue):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_RECONSIDER_EVERY_S, self.assign)


def _could_draw(host: PooledHost, waiter: Waiter) -> bool:
    return waiter.left_on is host or not host.missing(waiter.requirements)


def _finite(seconds: float) -> float | None:
    return seconds if isfinite(seconds) else None


def _prompt_host(waiter: Waiter) -> PooledHost | None:
    """Return the host that may still have a prompt of the caller; None if it is of no use."""
    return None if waiter.left_on is None or waiter.left_on.is_given_up else waiter.left_on


def _is_asked_since(silent: PooledHost, other: PooledHost) -> bool:
    """Whether the silent host was asked in vain after the other one has answered again.

    Before that it may have been our own network that was away, and not the host: a prompt that
    waits on it would be drawn twice.
    """
    return silent.asked_in_vain_at >= other.answers_since
