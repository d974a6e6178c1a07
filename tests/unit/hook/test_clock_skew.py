"""The difference between a server's clock and ours is measured and told."""

import pytest

from chatflow_hook.clock_skew import ClockSkew

NOW_S = 1_700_000_000.0


async def measured(skew: ClockSkew, *, ahead_s: float) -> None:
    async def read_clock() -> float:
        return NOW_S + ahead_s

    assert await skew.measure(read_clock) == NOW_S + ahead_s


@pytest.mark.parametrize("ahead_s", [30.0, -600.0])
async def test_clocks_that_differ_are_told_once_and_again_when_it_is_over(
    ahead_s: float, capsys: pytest.CaptureFixture[str]
) -> None:
    skew = ClockSkew("redis", clock=lambda: NOW_S)

    await measured(skew, ahead_s=ahead_s)
    await measured(skew, ahead_s=ahead_s)
    warned = capsys.readouterr().out
    await measured(skew, ahead_s=0.0)
    await measured(skew, ahead_s=0.0)
    over = capsys.readouterr().out

    assert warned.count("clocks differ") == 1
    assert f"{ahead_s:g}" in warned
    assert "NTP" in warned
    assert over.count("clocks agree again") == 1


async def test_a_difference_of_a_second_is_measured_and_not_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    skew = ClockSkew("redis", clock=lambda: NOW_S)

    await measured(skew, ahead_s=1.0)

    assert skew.ahead_s == pytest.approx(1.0, abs=0.1)
    assert capsys.readouterr().out == ""


async def test_an_answer_that_took_long_says_nothing() -> None:
    skew = ClockSkew("redis", clock=lambda: NOW_S, max_round_trip_s=0.0)

    await measured(skew, ahead_s=30.0)

    assert skew.ahead_s is None
