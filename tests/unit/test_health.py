"""A host's condition, on a clock that the test moves."""

from imagegen.comfy.health import Condition, Health, after_answer, after_failure


def test_a_host_is_up_until_it_fails() -> None:
    health = Health()

    assert health.condition is Condition.UP
    assert health.is_due(0)


def test_one_failure_makes_a_suspect_that_rests_for_a_second() -> None:
    health = after_failure(Health(), now=100, jitter=0)

    assert health.condition is Condition.SUSPECT
    assert not health.is_due(100.9)
    assert health.is_due(101)


def test_three_failures_take_a_host_down() -> None:
    health = _failed(3, jitter=0)

    assert health.condition is Condition.DOWN


def test_rests_double_up_to_half_a_minute() -> None:
    rests = [_failed(times, jitter=0).rests_until for times in range(1, 9)]

    assert rests == [1, 2, 4, 8, 16, 32, 32, 32]


def test_jitter_makes_a_rest_half_as_long_again_at_most() -> None:
    assert _failed(1, jitter=1).rests_until == 1.5


def test_a_host_that_was_down_for_a_week_still_has_a_rest() -> None:
    health = _failed(20_000, jitter=0)

    assert health.rests_until == 32


def test_one_answer_makes_all_well() -> None:
    assert after_answer() == Health()


def _failed(times: int, *, jitter: float) -> Health:
    health = Health()
    for _ in range(times):
        health = after_failure(health, now=0, jitter=jitter)
    return health
