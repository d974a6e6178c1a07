"""The score that arq gets to see: it decides as the clock of Redis demands, whatever its own says.

That arq itself then starts the job, or does not, is in tests/integration/queue/test_outbox_relay.py
and tests/journey/test_clocks_apart.py.
"""

import pytest

from imagegen.queue.job_queue import score_for_arq, wait_s

NOW_MS = 1_700_000_000_000
TEN_MINUTES_MS = 600_000


@pytest.mark.parametrize("skew_ms", [-TEN_MINUTES_MS, 0, TEN_MINUTES_MS])
@pytest.mark.parametrize("score", [NOW_MS, NOW_MS - 1, 0])
def test_a_job_that_is_due_by_the_clock_of_redis_has_a_score_in_our_past_and_above_0(
    score: float, skew_ms: int
) -> None:
    own_ms = NOW_MS + skew_ms

    seen = score_for_arq(score, redis_ms=NOW_MS, own_ms=own_ms)

    assert seen is not None
    assert 0 < seen <= own_ms


@pytest.mark.parametrize("skew_ms", [-TEN_MINUTES_MS, 0, TEN_MINUTES_MS])
@pytest.mark.parametrize("score", [NOW_MS + 1, None])
def test_one_that_is_not_due_or_not_there_has_none(score: float | None, skew_ms: int) -> None:
    assert score_for_arq(score, redis_ms=NOW_MS, own_ms=NOW_MS + skew_ms) is None


@pytest.mark.parametrize(("in_ms", "seconds"), [(300, 0.3), (3_599_700, 0.8)])
def test_a_poll_waits_for_the_next_job_and_never_longer_than_between_two_polls(
    in_ms: int, seconds: float
) -> None:
    assert wait_s(NOW_MS + in_ms, now_ms=NOW_MS, most_s=0.8) == pytest.approx(seconds)
