"""What comes at the same time is handled together, and nothing waits for more."""

import asyncio
from collections.abc import Sequence

import pytest

from chatflow_hook.batches import Batches


class Doubling:
    """Doubles numbers in batches, each of which waits for `gate`; keeps the batches."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.batches: list[list[int]] = []

    async def handle(self, numbers: Sequence[int]) -> Sequence[int]:
        self.batches.append([*numbers])
        await self.gate.wait()
        if 0 in numbers:
            raise ValueError("nothing to double")
        return [2 * number for number in numbers]


async def started(batches: Batches[int, int], numbers: Sequence[int]) -> list[asyncio.Task[int]]:
    """Ask for each number, and return once no further batch can begin."""
    tasks = [asyncio.create_task(batches.result(number)) for number in numbers]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_one_alone_is_handled_at_once() -> None:
    doubling = Doubling()
    doubling.gate.set()

    assert await Batches(doubling.handle, at_once=1, most=3).result(4) == 8


async def test_those_that_wait_are_handled_together_and_each_has_its_own_result() -> None:
    doubling = Doubling()
    batches = Batches(doubling.handle, at_once=1, most=3)
    first = await started(batches, [1])
    others = await started(batches, [2, 3, 4, 5])

    doubling.gate.set()

    assert await asyncio.gather(*first, *others) == [2, 4, 6, 8, 10]
    assert doubling.batches == [[1], [2, 3, 4], [5]]


async def test_no_more_batches_run_at_once_than_allowed() -> None:
    doubling = Doubling()
    batches = Batches(doubling.handle, at_once=2, most=1)

    tasks = await started(batches, [1, 2, 3])

    assert doubling.batches == [[1], [2]]
    doubling.gate.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_a_caller_that_is_cancelled_while_it_waits_is_left_out() -> None:
    doubling = Doubling()
    batches = Batches(doubling.handle, at_once=1, most=3)
    first, *others = await started(batches, [1, 2, 3])
    first_batch = doubling.batches[:]
    more = await started(batches, [7, 8])

    more[0].cancel()
    doubling.gate.set()

    assert await asyncio.gather(first, *others, more[1]) == [2, 4, 6, 16]
    assert doubling.batches == [*first_batch, [8]]


async def test_a_caller_that_is_cancelled_takes_no_other_of_its_batch_with_it() -> None:
    doubling = Doubling()
    batches = Batches(doubling.handle, at_once=1, most=3)
    first, second = await started(batches, [1, 2])

    first.cancel()
    doubling.gate.set()

    assert await second == 4


async def test_an_error_is_that_of_all_in_its_batch_and_of_no_other() -> None:
    doubling = Doubling()
    doubling.gate.set()
    batches = Batches(doubling.handle, at_once=1, most=2)

    results = await asyncio.gather(
        *(batches.result(number) for number in (0, 1, 2)), return_exceptions=True
    )

    assert [type(result) for result in results] == [ValueError, ValueError, int]


async def test_an_error_that_is_returned_is_that_of_one() -> None:
    async def handle(numbers: Sequence[int]) -> Sequence[int | Exception]:
        return [number or ValueError("nothing") for number in numbers]

    batches = Batches(handle, at_once=1, most=2)

    results = await asyncio.gather(
        *(batches.result(number) for number in (0, 1)), return_exceptions=True
    )

    assert [type(result) for result in results] == [ValueError, int]


async def test_all_can_be_cancelled_and_nothing_more_is_handled() -> None:
    doubling = Doubling()
    batches = Batches(doubling.handle, at_once=1, most=1)
    tasks = await started(batches, [1, 2, 3])

    batches.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(result) for result in results] == 3 * [asyncio.CancelledError]
    assert doubling.batches == [[1]]


async def test_callers_of_a_batch_that_is_cancelled_are_cancelled() -> None:
    async def handle(_: Sequence[int]) -> Sequence[int]:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Batches(handle, at_once=1, most=1).result(1)
