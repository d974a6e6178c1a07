"""Pool: lends slots on ComfyUI hosts."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from imagegen import periodic
from imagegen.comfy.capabilities import Missing, Requirements
from imagegen.comfy.client import HostClient
from imagegen.db.tables import HostUse
from imagegen.pool.health_checks import HealthChecker, OnReturn
from imagegen.pool.health_tracking import Clock, HealthTracker
from imagegen.pool.host import HostStatus, PooledHost, SlotLease
from imagegen.pool.scheduler import QueuePlace, SlotScheduler
from imagegen.pool.shared_slots import SharedSlot, SlotRegistry, UnsharedSlots
from imagegen.pool.wait_queue import SlotGrant, Waiter

# How often other workers and users of a host are looked for while a slot is lent that gives way.
_ASK_OTHERS_EVERY_S = 0.5
# How long the first checks of hosts may take together.
_FIRST_CHECKS_TIMEOUT_S = 2.0


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
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._scheduler = SlotScheduler(self._hosts, most=most, clock=self._clock)
        self._chance = chance or random.Random()  # noqa: S311 (spreads retries, keeps no secret)
        self._shared = shared or UnsharedSlots()
        self._tracker = HealthTracker(self._hosts.values(), clock=self._clock, chance=self._chance)
        self._on_return = on_return
        self._shared.tell(self._note_room)
        # By host, what ends its health checks; None outside of `running`.
        self._checks: dict[str, AsyncExitStack] | None = None

    @property
    def taken(self) -> int:
        """How many slots are lent."""
        return self._scheduler.taken

    @property
    def slots(self) -> int:
        """How many slots may be lent at one time."""
        return self._scheduler.slots

    @property
    def waiting(self) -> int:
        """How many callers wait for a slot."""
        return self._scheduler.waiting

    def client(self, name: str) -> HostClient | None:
        """Return the client of a host, None if the pool has no such host."""
        host = self._hosts.get(name)
        return None if host is None else host.client

    def answering(self) -> Sequence[HostClient]:
        """Return the clients of the hosts that have answered when they were last asked."""
        return [host.client for host in self._hosts.values() if not host.health.is_silent]

    async def ask(self, name: str, *, within_s: float) -> bool:
        """Ask a host now and return whether it answers.

        The prompts on a host that answers may be taken up from then on. False if the pool has no
        such host, or if it was removed at once: what was left there is drawn elsewhere.
        """
        host = self._hosts.get(name)
        if host is None or host.is_given_up:
            return False
        return await self._tracker.ask(host, within_s=within_s)

    def status(self) -> tuple[HostStatus, ...]:
        """Return the present state of each host."""
        now = self._clock()
        return tuple(
            host.status(waiting=self._scheduler.waiting_for(host), now=now)
            for host in self._hosts.values()
        )

    def place(self, request_id: UUID) -> QueuePlace | None:
        """Return the place of a request in the queue for slots; None if it does not wait."""
        return self._scheduler.place(request_id)

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
        self._scheduler.assign()

    def set_use(self, name: str, use: HostUse, *, gives_up: bool = False) -> None:
        """Say how a host of the pool is used from now on.

        Only an ACTIVE host gets new prompts; on the others what runs ends, and a prompt that was
        left there is taken up. A REMOVED host does not count any more where it is asked whether any
        host could draw something. `gives_up`: the prompts on it are to be cancelled, and those left
        there are drawn elsewhere.
        """
        host = self._hosts[name]
        host.use, host.is_given_up = use, gives_up
        self._scheduler.assign()

    async def remove(self, name: str) -> bool:
        """Remove a host and end its health checks; return False if a slot of it is lent."""
        if self._hosts[name].taken:
            return False
        host = self._hosts.pop(name)
        # For callers that wait for a prompt that was left on it.
        host.is_given_up = True
        self._tracker.forget(host)
        self._scheduler.assign()
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
        that host answers, a slot on it is lent at once for that prompt (`SlotLease.is_resumption`),
        also if none is free: more are lent then than the host has, until as many have ended. Another
        host is lent if that one does not answer, or is not in the pool.

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
                expected_s=self._scheduler.remaining_s(host),
            )
        except Exception as error:
            self._tracker.record_failure(host, requirements_of_new, error)
            raise
        else:
            self._tracker.record_success(host, requirements_of_new)
        finally:
            # Nothing is awaited here, so a cancellation cannot interrupt the release.
            shared_slot.release()
            self._scheduler.release(grant)

    def sooner_host(self, lease: SlotLease, *, ahead: int) -> str | None:
        """Return the name of a free host that would begin the prompt of a lease much sooner.

        `ahead` is how many prompts the host of the lease draws before it. None: no other host
        would, or it is the prompt of an earlier job.
        """
        return self._scheduler.sooner_host(lease, ahead=ahead)

    def is_sooner_elsewhere(self, lease: SlotLease, *, ahead: int) -> bool:
        """Whether another host, free or not, would begin the prompt of a lease much sooner."""
        return self._scheduler.is_sooner_elsewhere(lease, ahead=ahead)

    async def reserve(self, name: str, requirements: Requirements) -> Reservation | None:
        """Take a slot of a host for a new prompt, if one is free now; None if not.

        For a prompt that moves to this host and gives its own slot back, so the cap of all slots
        is not asked. The caller gives the reservation to `lease` or releases it.
        """
        host = self._hosts.get(name)
        if host is None or not host.is_free():
            return None
        grant = SlotGrant(host, host.lend(requirements, now=self._clock()))
        shared_slot = await self._take_shared(grant, is_new=True)
        if shared_slot is None:
            return None
        self._scheduler.tell_who_gives_way()

        def release() -> None:
            shared_slot.release()
            self._scheduler.release_unused(grant)

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
        if (
            host is None
            or host.taken
            or self.taken >= self.slots
            or self._scheduler.is_wanted(host)
        ):
            yield None
            return
        reservation = await self.reserve(name, requirements)
        if reservation is None:
            yield None
            return

        async def ask_others() -> None:
            if self._scheduler.is_wanted(host) or await self._shared.is_wanted(name):
                wanted.set()

        with self._scheduler.giving_way(host, wanted):
            async with (
                periodic.every(_ASK_OTHERS_EVERY_S, ask_others, name=f"who wants {name}"),
                self.lease(requirements, reservation=reservation) as lease,
            ):
                yield lease

    async def _acquire(self, waiter: Waiter) -> tuple[SlotGrant, SharedSlot]:
        """Wait for a slot that this pool may lend, then for one that no other worker holds."""
        while True:
            grant = await self._scheduler.acquire(waiter)
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
        wants_more = self._scheduler.waiting > 0
        try:
            shared_slot = await self._shared.take(
                host.name, host.slots, wants_more=wants_more, is_in_use=not is_new
            )
        except BaseException:
            self._scheduler.release_untried(grant)
            raise
        was_full = host.is_full_elsewhere
        # Not by the answer: since it came, the registry may have told of room already, and it does
        # so only once.
        host.room = 0 if self._shared.is_told_of(host.name) else None
        if shared_slot is not None and (host.use is HostUse.ACTIVE or not is_new):
            if was_full and not host.is_full_elsewhere:
                self._scheduler.assign()  # others may wait who took the host for full
            return shared_slot
        host.take_back(grant.prompt, now=self._clock())
        if shared_slot is not None:
            shared_slot.release()
        return None

    def _note_room(self, name: str, room: int | None) -> bool:
        """Use so many slots of a host that other workers have left; None: any number.

        Returns whether a waiter tries to take one.
        """
        host = self._hosts.get(name)
        if host is None:
            return False
        taken_before, host.room = host.taken, room
        self._scheduler.assign()
        if host.taken > taken_before:
            return True
        host.room = None
        return False

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
            on_change=self._scheduler.assign,
            on_return=self._on_return,
        )
