"""Which lines of the log are left out because they repeat, and how they are counted."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from imagegen.log_repeats import Repeated, RepeatFilter


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repeats(clock: Clock) -> RepeatFilter:
    return RepeatFilter(again_after_s=300, over_after_s=60, clock=clock)


def record(level: int = logging.WARNING, **fields: Any) -> logging.LogRecord:
    """Return a record as structlog makes it."""
    message: Any = {"event": "redis cannot be used", **fields}
    return logging.LogRecord("any", level, __file__, 1, message, (), None)


def failing(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except Exception as error:  # noqa: BLE001 (any error)
        return error
    raise AssertionError("it did not fail")


def test_a_trouble_passes_once_and_again_after_a_while_with_its_count(
    repeats: RepeatFilter, clock: Clock
) -> None:
    passed = [record(why="refused", timestamp=str(number)) for number in range(40)]
    for each in list(passed):
        if not repeats.filter(each):
            passed.remove(each)
        clock.seconds += 10

    assert [each.msg for each in passed] == [
        {"event": "redis cannot be used", "why": "refused", "timestamp": "0"},
        {"event": "redis cannot be used", "why": "refused", "timestamp": "30", "repeated": 29},
    ]


def test_another_reason_is_another_line(repeats: RepeatFilter) -> None:
    assert repeats.filter(record(why="refused"))
    assert repeats.filter(record(why="full"))
    assert repeats.filter(record(why="refused", host="gpu-2"))


def test_a_number_that_grows_does_not_make_it_another_line(repeats: RepeatFilter) -> None:
    assert repeats.filter(record(why="refused", tries=1, seconds=0.5))
    assert not repeats.filter(record(why="refused", tries=2, seconds=1.5))


def test_what_is_no_trouble_and_what_is_of_one_request_always_passes(
    repeats: RepeatFilter,
) -> None:
    for _ in range(2):
        assert repeats.filter(record(logging.INFO))
        assert repeats.filter(record(request_id="1f0c9a"))


@pytest.mark.parametrize(
    "code", ["database_unavailable", "database_refused", "telegram_unreachable"]
)
def test_an_outage_for_which_all_requests_wait_is_told_once(
    repeats: RepeatFilter, code: str
) -> None:
    def waits(request_id: str) -> logging.LogRecord:
        return record(event="request waits", code=code, why="away", request_id=request_id)

    assert repeats.filter(waits("1f0c9a"))
    assert not repeats.filter(waits("1f0c9a"))
    assert not repeats.filter(waits("7b22e0"))


def test_the_end_of_a_request_is_its_own_whatever_ended_it(repeats: RepeatFilter) -> None:
    for _ in range(2):
        assert repeats.filter(
            record(event="request ended", code="database_refused", request_id="1f0c9a")
        )


def test_one_exception_at_one_place_is_the_same_whatever_it_says(repeats: RepeatFilter) -> None:
    def at_one_place(text: str) -> BaseException:
        return failing(lambda: int(text))

    assert repeats.filter(record(exc_info=at_one_place("a")))
    assert not repeats.filter(record(exc_info=at_one_place("b")))
    assert repeats.filter(record(exc_info=failing(lambda: 1 / 0)))


def test_a_line_of_a_library_is_counted_too(repeats: RepeatFilter) -> None:
    first, second, third = (
        logging.LogRecord("lib", logging.ERROR, __file__, 1, "host %s is down", (host,), None)
        for host in ("a", "a", "b")
    )

    assert [repeats.filter(each) for each in (first, second, third)] == [True, False, True]


def test_what_is_over_is_told_once_with_its_count_and_its_time(
    repeats: RepeatFilter, clock: Clock
) -> None:
    for _ in range(3):
        repeats.filter(record(why="refused"))
        clock.seconds += 10
    repeats.filter(record(why="said only once"))

    clock.seconds += 50
    over = Repeated(event="redis cannot be used", why="refused", times=2, seconds=20)
    assert repeats.over() == [over]
    assert repeats.over() == []
    assert repeats.filter(record(why="refused")), "the next outage is told anew"


def test_at_the_end_all_that_repeated_is_told(repeats: RepeatFilter) -> None:
    for _ in range(2):
        repeats.filter(record(why="refused"))

    assert [(line.why, line.times) for line in repeats.rest()] == [("refused", 1)]
