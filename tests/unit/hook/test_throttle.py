"""Throttle: each key once in an interval, and a count of what was skipped."""

from chatflow_hook.failures import Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_is_said_and_those_of_the_same_minute_are_not() -> None:
    throttle = Throttle(every_s=60, clock=Clock())

    assert [throttle.admit("away") for _ in range(3)] == [0, None, None]


def test_after_a_minute_it_is_said_again_with_the_number_of_those_between() -> None:
    clock = Clock()
    throttle = Throttle(every_s=60, clock=clock)
    for _ in range(4):
        throttle.admit("away")

    clock.now += 60

    assert throttle.admit("away") == 3
    clock.now += 60
    assert throttle.admit("away") == 0


def test_another_thing_is_said_at_once() -> None:
    throttle = Throttle(every_s=60, clock=Clock())
    throttle.admit("away")

    assert throttle.admit("slow") == 0


def test_what_stays_unsaid_is_overdue_after_a_minute_and_only_once() -> None:
    clock = Clock()
    throttle = Throttle(every_s=60, clock=clock)
    for _ in range(3):
        throttle.admit("slow")

    assert throttle.overdue() == {}
    clock.now += 60
    assert throttle.overdue() == {"slow": 2}
    assert throttle.overdue() == {}
    assert throttle.admit("slow") is None, "it was said just now"


def test_at_the_end_the_rest_is_told_whatever_the_time() -> None:
    throttle = Throttle(every_s=60, clock=Clock())
    for _ in range(3):
        throttle.admit("slow")

    assert throttle.rest() == {"slow": 2}
    assert throttle.rest() == {}
