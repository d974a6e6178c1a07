"""Question: one answer for many probes, within bounded time, whatever is asked."""

import asyncio
from collections.abc import Awaitable, Callable

from imagegen.errors import Unavailable
from imagegen.monitoring.readiness import CachedCheck

MS = 0.001


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """Answers what it is told to, and counts."""

    def __init__(self, answer: Callable[[], Awaitable[str | None]]) -> None:
        self.times = 0
        self._answer = answer

    async def __call__(self) -> str | None:
        self.times += 1
        return await self._answer()


async def well() -> None:
    return None


async def away() -> str:
    return "away"


async def frozen() -> str:
    await asyncio.Event().wait()
    return "never"


async def test_a_storm_of_probes_asks_once() -> None:
    asked = Asked(well)
    question = CachedCheck(asked)

    answers = await asyncio.gather(*(question.answer() for _ in range(100)))

    assert (set(answers), asked.times) == ({None}, 1)


async def test_an_answer_is_fresh_for_a_while() -> None:
    asked, clock = Asked(well), Clock()
    question = CachedCheck(asked, ok_for_s=10, clock=clock)

    await question.answer()
    clock.now += 9
    await question.answer()
    before = asked.times
    clock.now += 2
    await question.answer()

    assert (before, asked.times) == (1, 2)


async def test_what_is_missing_is_asked_for_sooner() -> None:
    asked, clock = Asked(away), Clock()
    question = CachedCheck(asked, ok_for_s=10, clock=clock)

    first = await question.answer()
    clock.now += 2
    await question.answer()

    assert (first, asked.times) == ("away", 2)


async def test_what_does_not_answer_is_missing_and_not_asked_twice_at_a_time() -> None:
    asked = Asked(frozen)
    question = CachedCheck(asked, answer_within_s=20 * MS)

    async with asyncio.timeout(1):
        first, second = await question.answer(), await question.answer()

    assert first == second == "no answer within 0.02 s"
    assert asked.times == 1
    await question.close()


async def test_an_error_of_ours_says_what_is_missing() -> None:
    async def refuses() -> None:
        raise Unavailable("PostgreSQL is away")

    assert await CachedCheck(refuses).answer() == "PostgreSQL is away"


async def test_a_fault_is_told_by_its_name_alone() -> None:
    async def fails() -> None:
        raise KeyError("a secret")

    assert await CachedCheck(fails).answer() == "KeyError"
