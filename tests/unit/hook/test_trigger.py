"""The trigger: distances, failures, old dialogs and restarted ones."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatflow_hook.trigger import Distance, TriggerVerdict, judge

USUAL = Distance(minimum=3, maximum=5)
bounds = st.tuples(st.integers(1, 12), st.integers(1, 12)).map(
    lambda pair: Distance(minimum=min(pair), maximum=max(pair))
)


def verdict(
    count: int,
    watermark: int | None = 0,
    failed_at: int | None = None,
    *,
    distance: Distance = USUAL,
    seed: int = 0,
) -> TriggerVerdict:
    return judge(
        message_count=count,
        watermark=watermark,
        failed_at=failed_at,
        distance=distance,
        messages_needed=distance.drawn(random.Random(seed)),
    )


def distances(draws: int, chance: random.Random) -> Counter[int]:
    """Count after how many messages the picture came, over many pictures."""
    seen: Counter[int] = Counter()
    count = watermark = 0
    while seen.total() < draws:
        count += 1
        now = judge(
            message_count=count,
            watermark=watermark,
            failed_at=None,
            distance=USUAL,
            messages_needed=USUAL.drawn(chance),
        )
        if now.is_due:
            seen[count - watermark] += 1
            watermark = count
    return seen


@given(
    watermark=st.integers(0, 10**6), step=st.integers(0, 40), distance=bounds, seed=st.integers()
)
def test_never_before_the_minimum_and_always_by_the_maximum(
    watermark: int, step: int, distance: Distance, seed: int
) -> None:
    is_due = verdict(watermark + step, watermark, distance=distance, seed=seed).is_due

    assert not (is_due and step < distance.minimum)
    assert is_due or step < distance.maximum


def test_distances_are_spread_as_the_rule_implies() -> None:
    seen = distances(10_000, random.Random(20))

    assert set(seen) == {3, 4, 5}
    assert seen[3] / 10_000 == pytest.approx(1 / 3, abs=0.015)
    assert seen[4] / 10_000 == pytest.approx(4 / 9, abs=0.015)
    assert seen[5] / 10_000 == pytest.approx(2 / 9, abs=0.015)


@given(count=st.integers(6, 10**6), seed=st.integers())
def test_an_old_dialog_starts_counting_at_its_first_message_with_us(count: int, seed: int) -> None:
    assert verdict(count, None, seed=seed) == TriggerVerdict(is_due=False, watermark=count)


@given(count=st.integers(1, 5), watermark=st.integers(6, 10**6), seed=st.integers())
def test_a_dialog_that_begins_anew_loses_its_watermark(
    count: int, watermark: int, seed: int
) -> None:
    anew = verdict(count, watermark, seed=seed)

    assert anew == verdict(count, None, seed=seed)
    assert anew.watermark is None


@given(failed_at=st.integers(0, 100), step=st.integers(0, 20), seed=st.integers())
def test_after_a_failure_the_next_comes_no_sooner_than_the_minimum(
    failed_at: int, step: int, seed: int
) -> None:
    count = failed_at + step

    is_due = verdict(count, 0, failed_at, seed=seed).is_due

    assert not (is_due and step < USUAL.minimum)


def test_a_new_dialog_whose_first_picture_failed_is_not_taken_for_an_old_one() -> None:
    assert verdict(6, None, 3) == TriggerVerdict(is_due=True, watermark=None)


def test_a_failure_of_an_earlier_life_of_the_dialog_counts_no_more() -> None:
    assert verdict(5, None, 7).is_due


@pytest.mark.parametrize(("minimum", "maximum"), [(0, 5), (4, 3), (-1, -1)])
def test_bounds_that_make_no_sense_are_refused(minimum: int, maximum: int) -> None:
    with pytest.raises(ValueError, match="minimum distance"):
        Distance(minimum=minimum, maximum=maximum)
