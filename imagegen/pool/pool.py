"""Pool: lends slots on ComfyUI hosts."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from statistics import fmean

from imagegen.comfy.capabilities import Missing, Requirements, nobody_can_draw
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost, NobodyCanDraw
from imagegen.pool.health_checks import HealthChecker
from imagegen.pool.health_tracking import Clock, HealthTracker
from imagegen.pool.host import HostStatus, PooledHost, SlotLease
from imagegen.pool.placement import choose_host
from imagegen.pool.shared_slots import SharedSlot, SlotRegistry, UnsharedSlots
from imagegen.pool.wait_queue import SlotGrant, Waiter, WaitQueue

# How soon a host whose slots other workers hold is tried again.
_FULL_FOR_S = 0.25
# How soon one is asked again who waits for a host's models though another host is free.
_HELD_FOR_S = 0.5
# How long the first look at all hosts may take.
_FIRST_LOOK_S = 2.0


class Pool:
    """Spreads prompts over hosts; what is lent is a place, given back when the host is done.

    A host that failed is lent again only while the pool is `tended`, once it answers.
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
    ) -> None:
        self._members = {
            client.name: PooledHost(client=client, slots=slots_per_host) for client in clients
        }
        self._most = most or slots_per_host * len(self._members)
        self._queue = WaitQueue()
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._chance = chance or random.Random()  # noqa: S311 (spreads retries, keeps no secret)
        self._shared = shared or UnsharedSlots()
        self._lessons = HealthTracker(
            list(self._members.values()), clock=self._clock, chance=self._chance
        )
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def taken(self) -> int:
        """How many slots are lent."""
        return sum(member.taken for member in self._members.values())

    @property
    def waiting(self) -> int:
        """How many callers wait for a slot."""
        return len(self._queue)

    def client(self, name: str) -> HostClient | None:
        """Give the client of a host, None if the pool has no such host."""
        member = self._members.get(name)
        return None if member is None else member.client

    def status(self) -> tuple[HostStatus, ...]:
        """Say how each host stands."""
        return tuple(self._status(member) for member in self._members.values())

    def missing(self, needs: Requirements) -> Mapping[str, tuple[Missing, ...]]:
        """Say what each host lacks to draw this, by host; hosts of unknown stock are left out."""
        known = {name: member.missing(needs) for name, member in self._members.items()}
        return {name: lacks for name, lacks in known.items() if lacks is not None}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look after the hosts while the block runs: what they have, and who is back.

        Begins with a look at each, so that nothing is drawn where it cannot be; a host that takes
        its time for that is not waited for.
        """
        tenders = [self._health_checker(member) for member in self._members.values()]
        async with AsyncExitStack() as stack:
            for tender in tenders:
                await stack.enter_async_context(tender.running())
            with suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_LOOK_S):
                    for tender in tenders:
                        await tender.has_looked.wait()
            yield

    @asynccontextmanager
    async def lease(
        self, needs: Requirements, *, rather_not: str | None = None, user: int | None = None
    ) -> AsyncIterator[SlotLease]:
        """Lend a slot on the best host that can draw this, waiting as long as it takes.

        `rather_not` names a host to take only if no other could. Those who wait are served by
        turns of their `user`. What the block raises teaches what the host is like. Raises
        NobodyCanDraw once every host is known to lack something.
        """
        async with self._leased(Waiter(wants=needs, rather_not=rather_not, user=user)) as lease:
            yield lease

    @asynccontextmanager
    async def lease_on(self, name: str) -> AsyncIterator[SlotLease]:
        """Lend a slot for a prompt that is on this host already, before all who wait.

        The host's health does not matter. Raises HostLost if the pool has no such host.
        """
        member = self._members.get(name)
        if member is None:
            raise HostLost(f"{name} is no longer among the hosts")
        async with self._leased(Waiter(wants=member)) as lease:
            yield lease

    @asynccontextmanager
    async def _leased(self, waiter: Waiter) -> AsyncIterator[SlotLease]:
        loan, shared = await self._acquire(waiter)
        member = loan.member
        needs = waiter.wants if isinstance(waiter.wants, Requirements) else None
        try:
            yield SlotLease(member, needs, loan.turn)
        except Exception as error:
            self._lessons.record_failure(member, needs, error)
            raise
        else:
            self._lessons.record_success(member, needs)
        finally:
            # Nothing here waits, so nothing can interrupt it.
            shared.release()
            member.full_until = 0.0
            self._give_back(loan)

    async def _acquire(self, waiter: Waiter) -> tuple[SlotGrant, SharedSlot]:
        """Wait for one of our own slots, then for one that no other worker holds."""
        while True:
            loan = await self._own_slot(waiter)
            member = loan.member
            try:
                shared = await self._shared.take(member.name, member.slots)
            except BaseException:
                self._give_back(loan)
                raise
            if shared is not None:
                return loan, shared
            # Others hold them all. It goes back to its old place, since its number is the same.
            member.line.leave(loan.turn, now=self._clock())
            member.full_until = self._clock() + _FULL_FOR_S

    async def _own_slot(self, waiter: Waiter) -> SlotGrant:
        self._queue.add(waiter)
        self._assign()
        try:
            return await waiter.place
        except asyncio.CancelledError:
            # The place may have come at the very moment of the cancellation.
            if (loan := waiter.granted()) is not None:
                self._give_back(loan)
            raise
        finally:
            self._queue.remove(waiter)

    def _give_back(self, loan: SlotGrant) -> None:
        loan.member.line.leave(loan.turn, now=self._clock())
        self._assign()

    def _assign(self) -> None:
        """Give free slots to waiters, in the order of the queue."""
        hopeless: set[tuple[Requirements | PooledHost, str | None]] = set()
        for waiter in self._queue:
            kind = (waiter.wants, waiter.rather_not)
            if kind in hopeless:
                continue
            if (lacking := self._never_error(waiter.wants)) is not None:
                waiter.reject(lacking)
            elif self.taken < self._most and (member := self._choose(waiter)) is not None:
                self._assign_to(waiter, member)
                hopeless.clear()
            else:
                # Not asked again for all those who want the same.
                hopeless.add(kind)
        self._set_alarm()

    def _assign_to(self, waiter: Waiter, member: PooledHost) -> None:
        needs = waiter.wants if isinstance(waiter.wants, Requirements) else None
        waiter.grant(SlotGrant(member, member.lend(needs, now=self._clock())))
        self._queue.served(waiter)

    def _choose(self, waiter: Waiter) -> PooledHost | None:
        now = self._clock()
        if isinstance(waiter.wants, PooledHost):
            return waiter.wants if waiter.wants.has_slot(now) else None
        change_s = self._change_s()
        candidates = [
            member.candidate(waiter.wants, now, change_s=change_s)
            for member in self._able(waiter.wants)
        ]
        name = choose_host(candidates, rather_not=waiter.rather_not)
        return None if name is None else self._members[name]

    def _change_s(self) -> float:
        """Estimate what a change of models costs on a host that has shown no other; 0: no idea."""
        known = [member.estimate.change_s for member in self._members.values()]
        seconds = [each for each in known if each is not None]
        return fmean(seconds) if seconds else 0.0

    def _able(self, needs: Requirements) -> list[PooledHost]:
        """List the hosts that could draw this now or soon."""
        return [
            member
            for member in self._members.values()
            if not member.missing(needs) and member.health.places(member.slots)
        ]

    def _never_error(self, wants: Requirements | PooledHost) -> NobodyCanDraw | None:
        if isinstance(wants, PooledHost):
            return None
        lacks = self.missing(wants)
        if len(lacks) < len(self._members) or not all(lacks.values()):
            return None
        return nobody_can_draw(lacks)

    def _set_alarm(self) -> None:
        """Look again later at what nothing else wakes us for.

        That is a host that others had filled, and a wait for models that takes too long.
        """
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        now = self._clock()
        waits = [
            member.full_until - now for member in self._members.values() if member.full_until > now
        ]
        if any(member.is_free(now) for member in self._members.values()):
            waits.append(_HELD_FOR_S)
        if len(self._queue) and waits:
            self._alarm = asyncio.get_running_loop().call_later(min(waits), self._assign)

    def _health_checker(self, member: PooledHost) -> HealthChecker:
        return HealthChecker(
            member, self._lessons, clock=self._clock, chance=self._chance, changed=self._assign
        )

    def _status(self, member: PooledHost) -> HostStatus:
        waiting = [
            waiter
            for waiter in self._queue
            if waiter.wants is member
            or (isinstance(waiter.wants, Requirements) and not member.missing(waiter.wants))
        ]
        return member.status(waiting=len(waiting))
