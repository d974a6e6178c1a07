"""A cached check: one run for many probes, and an answer within bounded time."""

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


class CountingCheck:
    """A check that counts how often it runs."""

    def __init__(self, answer: Callable[[], Awaitable[str | None]]) -> None:
        self.runs = 0
        self._answer = answer

    async def __call__(self) -> str | None:
        self.runs += 1
        return await self._answer()


async def well() -> None:
    return None


async def away() -> str:
    return "away"


async def frozen() -> str:
    await asyncio.Event().wait()
    return "never"


async def test_a_storm_of_probes_asks_once() -> None:
    check = CountingCheck(well)
    cached_check = CachedCheck(check)

    answers = await asyncio.gather(*(cached_check.answer() for _ in range(100)))

    assert (set(answers), check.runs) == ({None}, 1)


async def test_an_answer_is_fresh_for_a_while() -> None:
    check, clock = CountingCheck(well), Clock()
    cached_check = CachedCheck(check, ok_for_s=10, clock=clock)

    await cached_check.answer()
    clock.now += 9
    await cached_check.answer()
    before = check.runs
    clock.now += 2
    await cached_check.answer()

    assert (before, check.runs) == (1, 2)


async def test_what_is_missing_is_asked_for_sooner() -> None:
    check, clock = CountingCheck(away), Clock()
    cached_check = CachedCheck(check, ok_for_s=10, clock=clock)

    first = await cached_check.answer()
    clock.now += 2
    await cached_check.answer()

    assert (first, check.runs) == ("away", 2)


async def test_what_does_not_answer_is_missing_and_not_asked_twice_at_a_time() -> None:
    check = CountingCheck(frozen)
    cached_check = CachedCheck(check, answer_within_s=20 * MS)

    async with asyncio.timeout(1):
        first, second = await cached_check.answer(), await cached_check.answer()

    assert first == second == "no answer within 0.02 s"
    assert check.runs == 1
    await cached_check.close()


async def test_an_error_of_ours_says_what_is_missing() -> None:
    async def refuses() -> None:
        raise Unavailable("PostgreSQL is away")

    assert await CachedCheck(refuses).answer() == "PostgreSQL is away"


async def test_a_fault_is_told_by_its_name_alone() -> None:
    async def fails() -> None:
        raise KeyError("a secret")

    assert await CachedCheck(fails).answer() == "KeyError"
