"""The circuit breaker: when it opens and closes, and which failure costs an attempt."""

from uuid import UUID

import pytest
from structlog.testing import capture_logs

from imagegen.errors import Rejected, Unavailable, Unexpected
from imagegen.queue.circuit_breaker import CircuitBreaker
from tests.support.pool_callers import Clock

REASON = "the database refuses"
DUE = ["first", "second"]


@pytest.fixture
def clock() -> Clock:
    return Clock(now=100.0)


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(threshold=3, trial_every_s=1.0, quiet_s=60.0, clock=clock)


def fail(breaker: CircuitBreaker, *requests: int, reason: str = REASON) -> list[bool]:
    """Let requests fail one after the other; return which of the failures cost an attempt."""
    costs = []
    for number in requests:
        with pytest.raises(Unexpected) as caught, breaker.watching(UUID(int=number)):
            raise Unexpected("refused", reason=reason)
        costs.append(caught.value.costs_an_attempt)
    return costs


async def test_three_different_requests_that_fail_alike_stop_the_jobs(
    breaker: CircuitBreaker,
) -> None:
    fail(breaker, 1, 2)
    two = breaker.due(DUE)

    fail(breaker, 3)
    three, next_poll = breaker.due(DUE), breaker.due(DUE)

    assert two == DUE
    assert (three, next_poll) == (["first"], [])
    assert await breaker.why_open() == f"different requests fail alike: {REASON}"


async def test_one_request_that_fails_again_and_again_does_not(breaker: CircuitBreaker) -> None:
    fail(breaker, 1, 1, 1, 1)

    assert await breaker.why_open() is None
    assert breaker.due(DUE) == DUE


async def test_nor_do_different_reasons(breaker: CircuitBreaker) -> None:
    for number in range(6):
        fail(breaker, number, reason=f"reason {number % 3}")

    assert await breaker.why_open() is None


async def test_reasons_that_alternate_do(breaker: CircuitBreaker) -> None:
    for number in range(5):
        fail(breaker, number, reason=f"reason {number % 2}")

    assert await breaker.why_open() == "different requests fail alike: reason 0"
    assert (breaker.due(DUE), breaker.due(DUE)) == (["first"], [])


async def test_a_failure_of_another_kind_does_not_let_all_jobs_start(
    breaker: CircuitBreaker,
) -> None:
    fail(breaker, 1, 2, 3)

    fail(breaker, 4, reason="a fault of its own")

    assert await breaker.why_open() == f"different requests fail alike: {REASON}"
    assert (breaker.due(DUE), breaker.due(DUE)) == (["first"], [])


async def test_failures_with_a_long_time_between_them_do_not_stop_the_jobs(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    for number in range(4):
        fail(breaker, number)
        clock.now += 61.0

    assert await breaker.why_open() is None


async def test_nor_do_requests_with_a_success_between_them(breaker: CircuitBreaker) -> None:
    fail(breaker, 1, 2)
    breaker.succeeded()
    fail(breaker, 3, 4)

    assert await breaker.why_open() is None


def test_one_job_is_tried_each_second(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 1, 2, 3)

    taken = []
    for _ in range(8):
        clock.now += 0.5
        taken.append(breaker.due(DUE))

    assert taken == [["first"], []] * 4


def test_a_poll_without_jobs_uses_no_trial_up(breaker: CircuitBreaker) -> None:
    fail(breaker, 1, 2, 3)

    assert breaker.due([]) == []
    assert breaker.due(DUE) == ["first"]


async def test_a_success_lets_all_jobs_start(breaker: CircuitBreaker) -> None:
    fail(breaker, 1, 2, 3)

    breaker.succeeded()

    assert breaker.due(DUE) == DUE
    assert await breaker.why_open() is None


async def test_so_does_a_minute_without_a_failure(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 1, 2, 3)

    clock.now += 61.0

    assert breaker.due(DUE) == DUE
    assert await breaker.why_open() is None


def test_a_failure_costs_an_attempt_only_after_a_success(breaker: CircuitBreaker) -> None:
    alone = fail(breaker, 1, 1, 1)
    breaker.succeeded()
    after = fail(breaker, 1, 1)

    assert alone == [False, False, False]
    assert after == [True, False]


def test_an_error_whose_cause_is_no_request_costs_none(breaker: CircuitBreaker) -> None:
    breaker.succeeded()

    with pytest.raises(Unexpected) as caught, breaker.watching(UUID(int=1)):
        raise Unexpected("no right", reason="no right", costs_an_attempt=False)

    assert not caught.value.costs_an_attempt


def test_an_exception_that_nobody_foresaw_becomes_unexpected_and_its_text_is_not_told(
    breaker: CircuitBreaker,
) -> None:
    with (
        capture_logs() as log,
        pytest.raises(Unexpected) as caught,
        breaker.watching(UUID(int=1)),
    ):
        raise KeyError("what people wrote")

    assert caught.value.code == "internal"
    assert [line["event"] for line in log] == ["a fault of ours"]
    assert "what people wrote" not in str(log) + caught.value.sentence + caught.value.reason


@pytest.mark.parametrize("error", [Unavailable("an outage"), Rejected("its own fault")])
async def test_a_foreseen_error_is_not_counted(breaker: CircuitBreaker, error: Exception) -> None:
    for number in range(5):
        with pytest.raises(type(error)), breaker.watching(UUID(int=number)):
            raise error

    assert await breaker.why_open() is None


def test_opening_and_closing_are_logged_once(breaker: CircuitBreaker) -> None:
    with capture_logs() as log:
        fail(breaker, 1, 2, 3, 4, 5, 1)
        breaker.succeeded()
        breaker.succeeded()

    assert [(line["event"], line["why"]) for line in log] == [
        ("jobs are not taken", REASON),
        ("jobs are taken again", REASON),
    ]
