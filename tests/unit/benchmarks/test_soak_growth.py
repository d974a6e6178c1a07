"""The verdict on a soak finds what grows, and calls nothing else a growth."""

import random

import pytest

from tests.benchmarks.soak.growth import LIMITS, growths, text
from tests.benchmarks.soak.samples import Series

PICTURES = range(0, 20_000, 50)


def noisy(base: float, per_picture: float = 0.0, *, noise: float = 0.0) -> Series:
    chance = random.Random(1)
    return [
        (pictures, base + per_picture * pictures + chance.uniform(-noise, noise))
        for pictures in PICTURES
    ]


def is_flat(resource: str, series: Series) -> bool:
    (growth,) = growths({resource: series}, warm_up=2_000)
    return growth.is_flat


@pytest.mark.parametrize("name", LIMITS)
def test_what_goes_up_and_down_does_not_grow(name: str) -> None:
    noise = LIMITS[name].once

    assert is_flat(name if ":" in name else f"worker 0: {name}", noisy(100, noise=noise))


@pytest.mark.parametrize(
    ("resource", "per_picture"),
    [
        # A worker has made every second of the pictures.
        ("worker 0: memory, MB", 0.001 / 2),
        ("bot: memory, MB", 0.001),
        ("worker 0: open files", 0.01 / 2),
        ("worker 0: threads", 0.01 / 2),
        ("worker 0: asyncio tasks", 0.01 / 2),
        ("PostgreSQL: connections", 0.01),
        ("Redis: keys", 0.01),
    ],
)
def test_a_leak_is_a_growth(resource: str, per_picture: float) -> None:
    assert not is_flat(resource, noisy(100, per_picture, noise=2))


def test_a_moment_of_many_does_not_grow() -> None:
    series = noisy(20)
    series[200:220] = [(pictures, 500.0) for pictures, _ in series[200:220]]

    assert is_flat("bot: open files", series)


def test_what_is_held_while_everything_warms_up_is_not_judged() -> None:
    series = [(pictures, 10.0 if pictures < 2_000 else 300.0) for pictures in PICTURES]

    assert is_flat("worker 0: memory, MB", series)


def test_the_slope_is_for_each_thousand_pictures() -> None:
    (growth,) = growths({"Redis: keys": noisy(5, 0.002)}, warm_up=0)

    assert growth.per_thousand == pytest.approx(2.0)
    assert (growth.first, growth.last) == pytest.approx((7, 43), abs=0.2)


def test_less_is_no_growth() -> None:
    assert is_flat("bot: memory, MB", noisy(500, -0.01))


def test_too_few_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match="too few"):
        growths({"Redis: keys": noisy(5)[:9]}, warm_up=0)


def test_a_resource_without_a_limit_is_an_error() -> None:
    with pytest.raises(ValueError, match="no limit"):
        growths({"worker 0: teapots": noisy(5)}, warm_up=0)


def test_the_table_names_what_grows() -> None:
    lines = text(growths({"Redis: keys": noisy(5, 1), "bot: threads": noisy(5)}, warm_up=0))

    assert ["GROWS" in line for line in lines.splitlines()[2:]] == [True, False]
