"""The pool counts its slots correctly, whatever happens and in any order."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from imagegen.comfy.address import HostAddress
from imagegen.comfy.capabilities import HostCapabilities, ModelFile, Requirements
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import (
    DrawingFailed,
    HostLacks,
    HostLost,
    ImageMissing,
    NobodyCanDraw,
    OutOfMemory,
    PromptLost,
)
from imagegen.db.tables import HostUse
from imagegen.pool.host import PooledHost
from imagegen.pool.pool import Reservation
from tests.support.pool_callers import (
    Clock,
    FakeSlotRegistry,
    IdleCaller,
    SlotCaller,
    pool_of,
    run_ready_tasks,
)
from tests.support.prompt_execution import LIMITS

FILES = ("ash.safetensors", "lina.safetensors")
LORA = ("LoraLoader", "lora_name")
WANTS = [
    Requirements(model_set="any"),
    *(
        Requirements(
            model_set=name,
            models=frozenset({ModelFile(class_type=LORA[0], input=LORA[1], name=name)}),
        )
        for name in FILES
    ),
]
CAPABILITIES = [
    HostCapabilities(classes=frozenset({LORA[0]}), names={LORA: {name: name for name in names}})
    for names in ((), FILES[:1], FILES[1:], FILES)
]
ERRORS = [HostLost, HostLacks, DrawingFailed, OutOfMemory, PromptLost, ImageMissing, ValueError]
MANY = settings(max_examples=100, stateful_step_count=60)
WHICH = st.integers(0, 30)
MOST_HOSTS = 4


class _Pool(RuleBasedStateMachine):
    """A pool with random callers, hosts and time."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.jobs: list[SlotCaller] = []
        # Slots that were reserved and not lent yet, by the host's name.
        self.reserved: list[tuple[str, Requirements, Reservation]] = []
        self.yielding: list[IdleCaller] = []
        self.lacked: set[tuple[str, Requirements]] = set()

    @initialize(hosts=st.integers(1, 3), slots=st.integers(1, 2), most=st.integers(0, 4))
    def open(self, hosts: int, slots: int, most: int) -> None:
        self.clock = Clock()
        self.slots = slots
        self.most = most or hosts * slots
        self.host_numbers = itertools.count(hosts)
        names = [f"h{number}:8188" for number in range(hosts)]
        self.others = FakeSlotRegistry()
        self.pool = pool_of(
            *names, slots=slots, most=self.most, clock=self.clock, shared=self.others
        )

    @property
    def hosts(self) -> list[PooledHost]:
        return list(self.pool._hosts.values())

    @property
    def names(self) -> list[str]:
        return list(self.pool._hosts)

    @property
    def held(self) -> Counter[str]:
        """How many slots of each host somebody has."""
        return Counter(
            [
                *(job.host for job in self.lent if job.host is not None),
                *(name for name, _, _ in self.reserved),
                *(caller.name for caller in self.yielding),
            ]
        )

    @rule(wants=st.sampled_from(WANTS), avoided=st.one_of(st.none(), WHICH))
    def ask(self, wants: Requirements, avoided: int | None) -> None:
        avoid_host = None if avoided is None else self.names[avoided % len(self.names)]
        self._begin(SlotCaller(self.pool, wants=wants, avoid_host=avoid_host))

    @rule(which=WHICH)
    def ask_for_a_prompt_that_was_left(self, which: int) -> None:
        left_on = self.names[which % len(self.names)]
        self._begin(SlotCaller(self.pool, wants=WANTS[0], left_on=left_on))

    @precondition(lambda self: self.lent)
    @rule(which=WHICH)
    def end_well(self, which: int) -> None:
        self._run(self.lent[which % len(self.lent)].end())

    @precondition(lambda self: self.lent)
    @rule(which=WHICH, kind=st.sampled_from(ERRORS))
    def fail(self, which: int, kind: type[Exception]) -> None:
        job = self.lent[which % len(self.lent)]
        self._run(job.end(kind("as it happens")), failed=job.host)

    @precondition(lambda self: self.jobs)
    @rule(which=WHICH)
    def cancel(self, which: int) -> None:
        self._run(self.jobs[which % len(self.jobs)].cancel())

    @precondition(lambda self: self.lent)
    @rule(which=WHICH, seed=st.integers(0, 1000))
    def much_at_once(self, which: int, seed: int) -> None:
        """Let several callers end, begin and be cancelled in one turn of the event loop."""

        async def turn() -> None:
            chance = random.Random(seed)
            begun = [SlotCaller(self.pool, wants=WANTS[seed % len(WANTS)]).start()]
            self.jobs += begun
            self.lent[which % len(self.lent)].finish()
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            for job in chance.sample(self.jobs, k=min(3, len(self.jobs))):
                job.task.cancel()
            await run_ready_tasks()

        self._run(turn())

    @rule(which=WHICH, answers=st.sampled_from([True, True, True, False]))
    def probe(self, which: int, answers: bool) -> None:  # noqa: FBT001 (hypothesis gives it)
        host = self.hosts[which % len(self.hosts)]
        if answers:
            self.pool._tracker.record_ready(host)
        elif host.health.is_up or (
            host.health.is_resting and host.health.rests_until <= self.clock()
        ):
            self.pool._tracker.record_silence(host, HostLost("away"))
        self._look()

    @rule(which=WHICH, capabilities=st.sampled_from(CAPABILITIES))
    def restock(self, which: int, capabilities: HostCapabilities) -> None:
        self.hosts[which % len(self.hosts)].set_capabilities(capabilities, now=self.clock())
        self._look()

    @rule(which=WHICH, length=st.integers(0, 5))
    def tell_the_length_of_the_queue(self, which: int, length: int) -> None:
        self.hosts[which % len(self.hosts)].note_queue(length, now=self.clock())
        self._look()

    @rule(which=WHICH, wants=st.sampled_from(WANTS))
    def reserve(self, which: int, wants: Requirements) -> None:
        host = self.hosts[which % len(self.hosts)]
        is_free = host.is_free()

        async def reserve() -> None:
            reservation = await self.pool.reserve(host.name, wants)
            assert is_free or reservation is None
            if reservation is not None:
                self.reserved.append((host.name, wants, reservation))

        self._run(reserve())

    @precondition(lambda self: self.reserved)
    @rule(which=WHICH)
    def lend_what_was_reserved(self, which: int) -> None:
        name, wants, reservation = self.reserved.pop(which % len(self.reserved))
        job = SlotCaller(self.pool, wants=wants, reservation=reservation)
        self._begin(job)
        assert job.host == name

    @precondition(lambda self: self.reserved)
    @rule(which=WHICH)
    def release_what_was_reserved(self, which: int) -> None:
        _, _, reservation = self.reserved.pop(which % len(self.reserved))

        async def release() -> None:
            reservation.release()
            await run_ready_tasks()

        self._run(release())

    @rule(which=WHICH, wants=st.sampled_from(WANTS))
    def lend_idle(self, which: int, wants: Requirements) -> None:
        host = self.hosts[which % len(self.hosts)]
        is_idle = not host.taken and not host.queue.others

        async def lend() -> None:
            caller = IdleCaller(self.pool, host.name, wants).start()
            await self.others.settled()
            await run_ready_tasks()
            assert is_idle or not caller.is_lent
            if caller.is_lent:
                self.yielding.append(caller)

        self._run(lend())

    @precondition(lambda self: self.yielding)
    @rule(which=WHICH)
    def end_what_is_idle(self, which: int) -> None:
        self._run(self.yielding.pop(which % len(self.yielding)).end())

    @precondition(lambda self: len(self.hosts) < MOST_HOSTS)
    @rule(use=st.sampled_from([HostUse.ACTIVE, HostUse.DRAINING]))
    def add_a_host(self, use: HostUse) -> None:
        address = HostAddress.parse(f"h{next(self.host_numbers)}:8188")

        async def add() -> None:
            await self.pool.add({HostClient(address, limits=LIMITS): use})
            await run_ready_tasks()

        self._run(add())

    @rule(which=WHICH, use=st.sampled_from(list(HostUse)), gives_up=st.booleans())
    def set_use(self, which: int, use: HostUse, *, gives_up: bool) -> None:
        async def set_use() -> None:
            name = self.names[which % len(self.names)]
            self.pool.set_use(name, use, gives_up=gives_up and use is HostUse.REMOVED)
            await run_ready_tasks()

        self._run(set_use())

    @precondition(lambda self: len(self.hosts) > 1)
    @rule(which=WHICH)
    def remove_a_host(self, which: int) -> None:
        host = self.hosts[which % len(self.hosts)]
        is_used = bool(host.taken)

        async def remove() -> None:
            assert await self.pool.remove(host.name) is not is_used
            await run_ready_tasks()

        self._run(remove())

    @rule(seconds=st.integers(1, 400))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds
        self._look()

    @property
    def lent(self) -> list[SlotCaller]:
        return [job for job in self.jobs if job.host and not job.task.done()]

    @property
    def waiting(self) -> list[SlotCaller]:
        return [job for job in self.jobs if not job.host and not job.task.done()]

    @invariant()
    def no_slot_is_lost_or_lent_twice(self) -> None:
        held = self.held
        assert self.pool.taken == held.total()
        # A prompt that moves gives the slot back that it had, so what is reserved is beside the cap,
        # as is what is on its host already.
        new = [job for job in self.lent if not job.is_resumption]
        assert sum(job.reservation is None for job in new) <= self.most
        assert all(count <= self.slots for count in Counter(job.host for job in new).values())
        assert [host.taken for host in self.hosts] == [held[name] for name in self.names]
        assert self.others.ours == {host: count for host, count in held.items() if count}
        assert self.pool.waiting == len(self.waiting)

    @invariant()
    def nobody_waits_while_a_slot_suits(self) -> None:
        is_full = self.pool.taken >= self.pool.slots
        assert not [
            (job, host)
            for job in self.waiting
            for host in self._suits(job)
            if not is_full or (host is self._prompt_host(job) and not host.health.is_silent)
        ]

    @invariant()
    def nobody_waits_for_what_no_host_has_when_it_was_asked_last(self) -> None:
        hosts = self._lasting_hosts()
        for job in self.waiting:
            wants = job.wants
            if wants is None or not hosts or self._prompt_host(job) is not None:
                continue
            if all(host.missing(wants) for host in hosts):
                assert any(host._capabilities_at < job.since for host in hosts)

    @invariant()
    def who_has_an_idle_slot_knows_when_it_is_wanted(self) -> None:
        for caller in self.yielding:
            host = self.pool._hosts[caller.name]
            is_waited_for = any(
                job.wants is not None and not host.missing(job.wants) for job in self.waiting
            )
            if is_waited_for or host.taken > 1 or host.queue.others:
                assert caller.wanted.is_set()

    def _prompt_host(self, job: SlotCaller) -> PooledHost | None:
        """Return the host with an earlier prompt of the job, unless it is given up or gone."""
        host = self.pool._hosts.get(job.left_on or "")
        return None if host is None or host.is_given_up else host

    def _lasting_hosts(self) -> list[PooledHost]:
        return [host for host in self.hosts if host.use is not HostUse.REMOVED]

    def teardown(self) -> None:
        try:
            self._run(self._end_all())
            self._run(self._expect_all_slots())
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(run_ready_tasks())
            self.loop.close()

    async def _end_all(self) -> None:
        for _, _, reservation in self.reserved:
            reservation.release()
        for caller in self.yielding:
            await caller.end()
        self.reserved, self.yielding = [], []
        for job in self.jobs:
            await job.cancel()
        assert (self.pool.taken, self.pool.waiting, self.others.ours) == (0, 0, {})

    async def _expect_all_slots(self) -> None:
        for name in self.names:
            self.others.others_hold(name, 0)
        self.clock.now += 1000
        for host in self.hosts:
            self.pool.set_use(host.name, HostUse.ACTIVE)
            host.note_queue(0, now=self.clock())
            self.pool._tracker.record_success(host, WANTS[0])
            host.set_capabilities(CAPABILITIES[0], now=self.clock())
        jobs = [SlotCaller(self.pool, wants=WANTS[0]).start() for _ in range(self.most + 1)]
        await self.others.settled()
        slots = min(self.most, len(self.hosts) * self.slots)
        assert (self.pool.taken, self.pool.waiting) == (slots, self.most + 1 - slots)
        for job in jobs:
            await job.cancel()

    def _begin(self, job: SlotCaller) -> None:
        async def begin() -> None:
            self.jobs.append(job.start())
            await run_ready_tasks()

        self._run(begin())

    def _look(self) -> None:
        async def look() -> None:
            self.pool._scheduler.assign()  # as the timer and the health checks would
            await run_ready_tasks()

        self._run(look())

    def _run(self, step: Coroutine[Any, Any, None], *, failed: str | None = None) -> None:
        before = self.lent
        # What a host has refused is forgotten for a later caller right after an earlier one has
        # ended over it, so it counts how the hosts were before the step, or `failed` within it.
        self.lacked = {
            (host.name, wants)
            for host in self.hosts
            for wants in WANTS
            if host.missing(wants) or host.name == failed
        }
        self.loop.run_until_complete(step)
        self.loop.run_until_complete(self.others.settled())
        self.jobs = [job for job in self.jobs if not job.task.done() or self._end_is_right(job)]
        self._expect_the_first_served([job for job in self.lent if job not in before])

    def _end_is_right(self, job: SlotCaller) -> bool:
        """Check how a job has ended; False, since it need not be kept."""
        error = None if job.task.cancelled() else job.task.exception()
        if isinstance(error, NobodyCanDraw):
            assert job.wants is not None
            assert all(
                host.missing(job.wants) or (host.name, job.wants) in self.lacked
                for host in self._lasting_hosts()
            )
        else:
            assert error is job.error
        return False

    def _expect_the_first_served(self, served: list[SlotCaller]) -> None:
        for late in (job for job in served if job.reservation is None):
            for early in self.waiting:
                is_equal = (early.wants, early.avoid_host, early.left_on) == (
                    late.wants,
                    late.avoid_host,
                    late.left_on,
                )
                assert not (is_equal and early.number < late.number)
                assert not (early.left_on == late.host and late.left_on is None)

    def _suits(self, job: SlotCaller) -> list[PooledHost]:
        held = self.held
        left_on = self._prompt_host(job)
        if left_on is not None and not left_on.health.is_silent:
            return [left_on]
        wants = job.wants
        assert wants is not None
        able = [
            m
            for m in self.hosts
            if m.use is HostUse.ACTIVE
            and not m.missing(wants)
            and m.health.usable_slots(self.slots)
            and (left_on is None or left_on.asked_in_vain_at >= m.answers_since)
        ]
        return [m for m in able if held[m.name] < m.health.usable_slots(self.slots)]


class _SharedPool(_Pool):
    """The same, while other workers take and release slots of the hosts."""

    @rule(which=WHICH, count=st.integers(0, 2))
    def others_take(self, which: int, count: int) -> None:
        host = self.names[which % len(self.names)]

        async def hold() -> None:
            self.others.others_hold(host, count)

        self._run(hold())

    @rule()
    def others_answer_late(self) -> None:
        self.others.turns = 2 - self.others.turns

    def _suits(self, job: SlotCaller) -> list[PooledHost]:
        # A host that others were found to fill is tried again when they leave it.
        return [m for m in super()._suits(job) if not m.is_full_elsewhere]

    def _expect_the_first_served(self, served: list[SlotCaller]) -> None:
        """A caller whose slot other workers hold may be overtaken by a caller of another host."""


def test_no_slot_is_lost_and_who_came_first_is_served_first() -> None:
    run_state_machine_as_test(_Pool, settings=MANY)


def test_no_slot_is_lost_while_other_workers_take_and_leave_theirs() -> None:
    run_state_machine_as_test(_SharedPool, settings=MANY)
