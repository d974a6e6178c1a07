"""Pool: lends slots on ComfyUI hosts."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from uuid import UUID

from imagegen import periodic
from imagegen.comfy.capabilities import Missing, Requirements, nobody_can_draw
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import NobodyCanDraw
from imagegen.db.tables import HostUse
from imagegen.pool.health_checks import HealthChecker, OnReturn
from imagegen.pool.health_tracking import Clock, HealthTracker
from imagegen.pool.host import HostStatus, PooledHost, SlotLease
from imagegen.pool.placement import Candidate, begins_much_sooner, choose_host, sooner_host
from imagegen.pool.shared_slots import SharedSlot, SlotRegistry, UnsharedSlots
from imagegen.pool.wait_queue import SlotGrant, Waiter, WaitQueue

# When a host is tried again whose slots other workers hold.
_FULL_FOR_S = 0.25
# When a waiter is considered again that waits for a host with its models though another is free.
_RECONSIDER_EVERY_S = 0.5
# How often other workers and users of a host are looked for while a slot is lent that gives way.
_ASK_OTHERS_EVERY_S = 0.5
# How long the first checks of hosts may take together.
_FIRST_CHECKS_TIMEOUT_S = 2.0


@dataclass(frozen=True, kw_only=True)
class QueuePlace:
    """Where a request stands in the queue for slots.

    `number`: 1 for the next one. `ends_s`: after how many seconds its prompt will probably have
    ended, None if unknown.
    """

    number: int
    ends_s: float | None


@dataclass(eq=False, frozen=True, kw_only=True)
class Reservation:
    """A slot that was taken without a wait; it is given to `Pool.lease`, or else released."""

    grant: SlotGrant
    shared_slot: SharedSlot
    release: Callable[[], None]


async def _leave_as_it_is(_: HostClient) -> None:
    pass


class Pool:
    """Spreads prompts over hosts. What is lent is a slot, returned when the host has ended.

    Hosts may come and go at any time: see `add`, `set_use` and `remove`. The caller opens and closes
    their clients.

    `most` caps the slots lent at one time over all hosts; None: all slots. `shared` counts the
    slots of all workers; None: no other worker uses the hosts. `clock` and `chance` are for tests:
    seconds, by default of the running event loop, and the jitter of health checks. `on_return` is
    awaited with a host that answers again, before it gets a new prompt.

    A host that has failed is lent again only inside `running`, after it has answered a probe.
    """

    def __init__(  # noqa: PLR0913 - all by name, most of them for tests
        self,
        clients: Sequence[HostClient],
        *,
        slots_per_host: int = 2,
        most: int | None = None,
        clock: Clock | None = None,
        chance: random.Random | None = None,
        shared: SlotRegistry | None = None,
        on_return: OnReturn = _leave_as_it_is,
    ) -> None:
        self._hosts = {
            client.name: PooledHost(client=client, slots=slots_per_host) for client in clients
        }
        self._slots_per_host = slots_per_host
        self._most = most
        self._queue = WaitQueue()
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._chance = chance or random.Random()  # noqa: S311 (spreads retries, keeps no secret)
        self._shared = shared or UnsharedSlots()
        self._tracker = HealthTracker(self._hosts.values(), clock=self._clock, chance=self._chance)
        self._on_return = on_return
        # By host of which an idle slot is lent, what is set when somebody wants that slot.
        self._yielding: dict[PooledHost, asyncio.Event] = {}
        # By host, what ends its health checks; None outside of `running`.
        self._checks: dict[str, AsyncExitStack] | None = None
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

    def client(self, name: str) -> HostClient | None:
        """Return the client of a host, None if the pool has no such host."""
        host = self._hosts.get(name)
        return None if host is None else host.client

    def answering(self) -> Sequence[HostClient]:
        """Return the clients of the hosts that have answered when they were last asked."""
        return [host.client for host in self._hosts.values() if not host.health.is_silent]

    async def ask(self, name: str, *, within_s: float) -> bool:
        """Ask a host now and return whether it answers; False if the pool has no such host.

        The prompts on a host that answers may be taken up from then on.
        """
        host = self._hosts.get(name)
        return host is not None and await self._tracker.ask(host, within_s=within_s)

    def status(self) -> tuple[HostStatus, ...]:
        """Return the present state of each host."""
        return tuple(self._status(host) for host in self._hosts.values())

    def place(self, request_id: UUID) -> QueuePlace | None:
        """Return the place of a request in the queue for slots; None if it does not wait."""
        for ahead, waiter in enumerate(self._queue):
            if waiter.request_id == request_id:
                return QueuePlace(number=ahead + 1, ends_s=self._ends_s(waiter, ahead))
        return None

    def missing(self, requirements: Requirements) -> Mapping[str, tuple[Missing, ...]]:
        """Return what each host lacks to draw this, by host name.

        A host whose capabilities are unknown is left out.
        """
        missing_by_host = {name: host.missing(requirements) for name, host in self._hosts.items()}
        return {name: missing for name, missing in missing_by_host.items() if missing is not None}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the health checks of all hosts while the block runs.

        Before the block each host is checked once, so that no prompt goes to a host that cannot
        draw it; the block begins after two seconds even if a host has not answered by then.
        """
        self._checks = {}
        try:
            await self._start_checks(self._hosts.values())
            yield
        finally:
            checks, self._checks = self._checks, None
            await asyncio.gather(*(stack.aclose() for stack in checks.values()))

    async def add(self, uses: Mapping[HostClient, HostUse]) -> None:
        """Add hosts that the pool does not have, after a first check of two seconds at most.

        `uses` says how each of them is used, see `set_use`.
        """
        hosts = [
            PooledHost(client=client, slots=self._slots_per_host, use=use)
            for client, use in uses.items()
        ]
        await self._start_checks(hosts)
        self._hosts.update({host.name: host for host in hosts})
        self._assign()

    def set_use(self, name: str, use: HostUse, *, gives_up: bool = False) -> None:
        """Say how a host of the pool is used from now on.

        Only an ACTIVE host gets new prompts; on the others what runs ends, and a prompt that was
        left there is taken up. A REMOVED host does not count any more where it is asked whether any
        host could draw something. `gives_up`: the prompts on it are to be cancelled, and those left
        there are drawn elsewhere.
        """
        host = self._hosts[name]
        host.use, host.is_given_up = use, gives_up
        self._assign()

    async def remove(self, name: str) -> bool:
        """Remove a host and end its health checks; return False if a slot of it is lent."""
        if self._hosts[name].taken:
            return False
        host = self._hosts.pop(name)
        # For callers that wait for a prompt that was left on it.
        host.is_given_up = True
        self._tracker.forget(host)
        self._assign()
        if self._checks is not None:
            await self._checks.pop(name).aclose()
        return True

    @asynccontextmanager
    async def lease(  # noqa: PLR0913 (what the choice of a host depends on)
        self,
        requirements: Requirements,
        *,
        avoid_host: str | None = None,
        prefer_host: str | None = None,
        left_on: str | None = None,
        user: int | None = None,
        is_asked: bool = False,
        request_id: UUID | None = None,
        age_s: float = 0.0,
        reservation: Reservation | None = None,
    ) -> AsyncIterator[SlotLease]:
        """Lend a slot on the best host that can draw this, after any wait.

        The wait has no limit of its own; it may be cancelled. `avoid_host` names a host that is
        taken only if no other one is left, `prefer_host` one that is taken if it is free. Callers whose picture a person asked for (`is_asked`)
        are served before all others, and the users of waiting callers take turns. The host's
        health is set by how the block ends: without an error, or with one of comfy/errors.py.

        `left_on` names the host that may still have an earlier prompt of this request. As long as
        that host answers, the slot is on it and for that prompt (`SlotLease.is_resumption`), before
        all other callers. Another host is lent if that one does not answer, or is not in the pool.

        `request_id`: by what `place` finds this caller while it waits.

        `age_s`: how many seconds ago the request was made. A host that has refused a prompt with
        these requirements since then is not asked again.

        `reservation`: a slot for these requirements that was reserved before; it is lent at once.

        Raises:
            NobodyCanDraw: every host has just said that it lacks something that is required.
        """
        waiter = Waiter(
            requirements=requirements,
            avoid_host=avoid_host,
            prefer_host=prefer_host,
            left_on=None if left_on is None else self._hosts.get(left_on),
            user=user,
            is_asked=is_asked,
            request_id=request_id,
            since=self._clock(),
            asked_at=self._clock() - age_s,
        )
        if reservation is None:
            grant, shared_slot = await self._acquire(waiter)
        else:
            grant, shared_slot = reservation.grant, reservation.shared_slot
        host = grant.host
        requirements_of_new = waiter.requirements_on(host)
        try:
            yield SlotLease(
                host,
                requirements_of_new,
                grant.prompt,
                clock=self._clock,
                expected_s=_finite(self._remaining_s(host)),
            )
        except Exception as error:
            self._tracker.record_failure(host, requirements_of_new, error)
            raise
        else:
            self._tracker.record_success(host, requirements_of_new)
        finally:
            # Nothing is awaited here, so a cancellation cannot interrupt the release.
            shared_slot.release()
            host.full_until = 0.0
            self._release(grant)

    def sooner_host(self, lease: SlotLease, *, ahead: int) -> str | None:
        """Return the name of a free host that would begin the prompt of a lease much sooner.

        `ahead` is how many prompts the host of the lease draws before it. None: no other host
        would, or it is the prompt of an earlier job.
        """
        return sooner_host(self._others(lease), wait_s=self._wait_s(lease, ahead))

    def is_sooner_elsewhere(self, lease: SlotLease, *, ahead: int) -> bool:
        """Whether another host, free or not, would begin the prompt of a lease much sooner."""
        wait_s = self._wait_s(lease, ahead)
        return any(begins_much_sooner(each, wait_s=wait_s) for each in self._others(lease))

    async def reserve(self, name: str, requirements: Requirements) -> Reservation | None:
        """Take a slot of a host for a new prompt, if one is free now; None if not.

        For a prompt that moves to this host and gives its own slot back, so the cap of all slots
        is not asked. The caller gives the reservation to `lease` or releases it.
        """
        host = self._hosts.get(name)
        if host is None or not host.is_free(self._clock()):
            return None
        grant = SlotGrant(host, host.lend(requirements, now=self._clock()))
        shared_slot = await self._take_shared(grant, is_new=True)
        if shared_slot is None:
            return None
        self._tell_who_gives_way()

        def release() -> None:
            shared_slot.release()
            self._release(grant)

        return Reservation(grant=grant, shared_slot=shared_slot, release=release)

    @asynccontextmanager
    async def lend_idle(
        self, name: str, requirements: Requirements, wanted: asyncio.Event
    ) -> AsyncIterator[SlotLease | None]:
        """Lend a slot of a host that nobody uses, for a prompt that gives way; None if not now.

        `wanted` is set as soon as somebody else wants the slot: a caller of `lease` who waits for it,
        or has another slot of the host; another worker; or a prompt of others on the host. The caller
        then ends the block.
        """
        host = self._hosts.get(name)
        if host is None or host.taken or self.taken >= self.slots or self._is_wanted(host):
            yield None
            return
        reservation = await self.reserve(name, requirements)
        if reservation is None:
            yield None
            return

        async def ask_others() -> None:
            if self._is_wanted(host) or await self._shared.is_wanted(name):
                wanted.set()

        self._yielding[host] = wanted
        try:
            self._tell_who_gives_way()
            async with (
                periodic.every(_ASK_OTHERS_EVERY_S, ask_others, name=f"who wants {name}"),
                self.lease(requirements, reservation=reservation) as lease,
            ):
                yield lease
        finally:
            del self._yielding[host]

    async def _acquire(self, waiter: Waiter) -> tuple[SlotGrant, SharedSlot]:
        """Wait for a slot that this pool may lend, then for one that no other worker holds."""
        while True:
            grant = await self._acquire_own(waiter)
            is_new = waiter.requirements_on(grant.host) is not None
            shared_slot = await self._take_shared(grant, is_new=is_new)
            if shared_slot is not None:
                return grant, shared_slot
            # The waiter returns to its old position, since its round and number stay the same.

    async def _take_shared(self, grant: SlotGrant, *, is_new: bool) -> SharedSlot | None:
        """Take the slot of a grant from all workers; None, and no grant, if it cannot be used.

        Other workers may hold all slots of the host; or it was drained meanwhile, and the prompt
        `is_new` there.
        """
        host = grant.host
        try:
            shared_slot = await self._shared.take(host.name, host.slots)
        except BaseException:
            self._release(grant)
            raise
        if shared_slot is not None and (host.use is HostUse.ACTIVE or not is_new):
            return shared_slot
        host.queue.remove(grant.prompt, now=self._clock())
        if shared_slot is None:
            host.full_until = self._clock() + _FULL_FOR_S
        else:
            shared_slot.release()
        return None

    async def _acquire_own(self, waiter: Waiter) -> SlotGrant:
        self._queue.add(waiter)
        self._assign()
        try:
            return await waiter.slot
        except asyncio.CancelledError:
            # The slot may have been granted in the moment of the cancellation.
            if (grant := waiter.granted()) is not None:
                self._release(grant)
            raise
        finally:
            self._queue.remove(waiter)

    def _release(self, grant: SlotGrant) -> None:
        grant.host.queue.remove(grant.prompt, now=self._clock())
        self._assign()

    def _assign(self) -> None:
        """Grant free slots to waiters, in the order of the queue."""
        without_host: set[tuple[object, ...]] = set()
        for waiter in self._queue:
            kind = (
                waiter.requirements,
                waiter.avoid_host,
                waiter.prefer_host,
                waiter.left_on,
            )
            if kind in without_host:
                continue
            if (error := self._error_if_nobody_can_draw(waiter)) is not None:
                waiter.reject(error)
            elif self.taken < self.slots and (host := self._choose(waiter)) is not None:
                self._assign_to(waiter, host)
                without_host.clear()
            else:
                # No host is searched again for the other waiters of this kind.
                without_host.add(kind)
        self._tell_who_gives_way()
        self._set_timer()

    def _tell_who_gives_way(self) -> None:
        for host, wanted in self._yielding.items():
            if self._is_wanted(host):
                wanted.set()

    def _is_wanted(self, host: PooledHost) -> bool:
        """Whether anybody wants a slot of a host besides the first one that is lent."""
        if host.taken > 1 or host.queue.others or host.use is not HostUse.ACTIVE:
            return True
        is_last_slot = self.taken >= self.slots
        return any(is_last_slot or _could_draw(host, waiter) for waiter in self._queue)

    def _error_if_nobody_can_draw(self, waiter: Waiter) -> NobodyCanDraw | None:
        if _prompt_host(waiter) is not None:
            return None
        # Not those that leave; a host that is drained may be back.
        hosts = {
            name: host for name, host in self._hosts.items() if host.use is not HostUse.REMOVED
        }
        missing_by_host = {
            name: missing
            for name, host in hosts.items()
            if (missing := host.missing(waiter.requirements)) is not None
        }
        # Without any host nobody knows what the next one will have.
        if not hosts or len(missing_by_host) < len(hosts) or not all(missing_by_host.values()):
            return None
        # What a host lacked some time ago it may have now, so it is asked again before a request
        # ends over it. A list, since each of them is to be asked.
        asked = [
            host.ask_again(waiter.requirements, since=waiter.since, refused_since=waiter.asked_at)
            for host in hosts.values()
        ]
        return None if any(asked) else nobody_can_draw(missing_by_host)

    def _choose(self, waiter: Waiter) -> PooledHost | None:
        left_on = _prompt_host(waiter)
        if left_on is not None and not left_on.health.is_silent:
            return left_on if left_on.has_slot(self._clock()) else None
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

    def _remaining_s(self, host: PooledHost) -> float:
        other_s = host.other_s(self._typical_s())
        return host.queue.remaining_s(self._clock(), other_s=other_s)

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

    def _set_timer(self) -> None:
        """Assign again later, in cases where no other event would call `_assign`.

        That is when other workers have filled a host, and when a waiter waits for models though
        another host is free: that wait may take longer than estimated.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock()
        delays_s = [host.full_until - now for host in self._hosts.values() if host.full_until > now]
        if any(host.is_free(now) for host in self._hosts.values()):
            delays_s.append(_RECONSIDER_EVERY_S)
        if len(self._queue) and delays_s:
            self._timer = asyncio.get_running_loop().call_later(min(delays_s), self._assign)

    async def _start_checks(self, hosts: Collection[PooledHost]) -> None:
        """Start the health checks of hosts, and wait for the first ones; nothing if not running."""
        if self._checks is None:
            return
        checkers = [self._health_checker(host) for host in hosts]
        for host, checker in zip(hosts, checkers, strict=True):
            self._checks[host.name] = stack = AsyncExitStack()
            await stack.enter_async_context(checker.running())
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_CHECKS_TIMEOUT_S):
                for checker in checkers:
                    await checker.first_check_done.wait()

    def _health_checker(self, host: PooledHost) -> HealthChecker:
        return HealthChecker(
            host,
            self._tracker,
            clock=self._clock,
            chance=self._chance,
            on_change=self._assign,
            on_return=self._on_return,
        )

    def _status(self, host: PooledHost) -> HostStatus:
        waiting = [waiter for waiter in self._queue if _could_draw(host, waiter)]
        return host.status(waiting=len(waiting), now=self._clock())


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
