"""Whatever happens in whatever order, the pool keeps count of its slots and lets nobody starve."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from imagegen.comfy.errors import DrawingFailed, HostLost, PromptLost
from imagegen.comfy.pool import Pool
from tests.lending import Clock, Job, pool_of, ticks

ResultT = TypeVar("ResultT")

ERRORS = (HostLost("away"), DrawingFailed("a node raised"), PromptLost("interrupted"), None)


class Lending(RuleBasedStateMachine):
    """Jobs that ask, end, fail and give up, some of them in the same tick."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.jobs: list[Job] = []

    @initialize(hosts=st.integers(1, 4), slots=st.integers(1, 2), cap=st.integers(1, 8))
    def open(self, hosts: int, slots: int, cap: int) -> None:
        self.slots, self.most = slots, min(cap, hosts * slots)
        self.names = [f"h{number}:8188" for number in range(hosts)]
        self.pool: Pool = self._run(self._opened())

    async def _opened(self) -> Pool:
        return pool_of(*self.names, slots=self.slots, most=self.most, clock=Clock())

    @rule(model_set=st.sampled_from("abc"), not_on=st.integers(0, 5))
    def ask(self, model_set: str, not_on: int) -> None:
        rather_not = f"h{not_on}:8188"
        self.jobs.append(Job(self.pool, model_set, rather_not=rather_not))
        self._run(self._started(self.jobs[-1]))

    @precondition(lambda self: self.lent)
    @rule(which=st.integers(0, 20), error=st.sampled_from(ERRORS))
    def end(self, which: int, error: Exception | None) -> None:
        self._run(self.lent[which % len(self.lent)].end(error))

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 20))
    def give_up(self, which: int) -> None:
        self._run(self.alive[which % len(self.alive)].cancel())

    @precondition(lambda self: self.lent and self.waiting)
    @rule(which=st.integers(0, 20))
    def swap_in_one_tick(self, which: int) -> None:
        self.lent[which % len(self.lent)].task.cancel()
        self.waiting[0].task.cancel()
        self._run(ticks())

    @invariant()
    def no_slot_is_lent_twice(self) -> None:
        held = [job.host for job in self.lent]
        assert len(held) == (self.pool.taken if self.jobs else 0)
        assert len(held) <= getattr(self, "most", 0)
        assert all(held.count(host) <= self.slots for host in set(held))

    @invariant()
    def nobody_waits_while_a_host_is_free(self) -> None:
        if self.jobs and self.waiting and self.pool.taken < self.most:
            free = [each for each in self.pool.status() if each.condition == "up"]
            assert all(each.taken == each.slots for each in free)

    def teardown(self) -> None:
        for job in self.alive:
            self._run(job.cancel())
        if self.jobs:
            assert (self.pool.taken, self.pool.waiting) == (0, 0)
        self.loop.close()

    @property
    def alive(self) -> list[Job]:
        return [job for job in self.jobs if not job.task.done()]

    @property
    def lent(self) -> list[Job]:
        return [job for job in self.alive if job.host]

    @property
    def waiting(self) -> list[Job]:
        return [job for job in self.alive if not job.host]

    async def _started(self, job: Job) -> None:
        job.start()
        await ticks()

    def _run(self, step: Coroutine[Any, Any, ResultT]) -> ResultT:
        return self.loop.run_until_complete(step)


TestLending = Lending.TestCase
TestLending.settings = settings(max_examples=250, stateful_step_count=40, deadline=None)
