"""The monkey's schedule."""

from collections import defaultdict
from itertools import pairwise

from tests.benchmarks.chaos.fault import Blow, Kind
from tests.benchmarks.chaos.schedule import LONG_S, schedule


def of_a_run(seed: int, seconds: float = 120) -> tuple[Blow, ...]:
    return schedule(seed, seconds, workers=2, hosts=4)


def test_a_seed_gives_the_same_blows_each_time() -> None:
    assert of_a_run(7) == of_a_run(7)


def test_another_seed_gives_other_blows() -> None:
    assert of_a_run(7) != of_a_run(8)


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    short, longer = of_a_run(7, 60), of_a_run(7, 120)

    assert [blow for blow in longer if blow.ends_s <= 60] == list(short)


def test_everything_breaks_within_five_runs() -> None:
    seen = {blow.kind for seed in range(1, 6) for blow in of_a_run(seed, 240)}

    assert seen == set(Kind)


def test_blows_come_in_order_and_are_over_at_the_end() -> None:
    blows = of_a_run(7)

    assert list(blows) == sorted(blows, key=lambda blow: blow.at_s)
    assert all(0 < blow.at_s <= blow.ends_s <= 120 for blow in blows)


def test_nothing_is_broken_while_it_is_broken() -> None:
    by_thing: dict[str, list[Blow]] = defaultdict(list)
    for blow in of_a_run(7, 240):
        # Hosts share one lane, workers have one each.
        number = blow.target if blow.kind.startswith("worker") else 0
        by_thing[f"{blow.kind.replace('all hosts', 'host').split()[0]} {number}"].append(blow)

    assert len(by_thing) == 6
    for blows in by_thing.values():
        assert all(first.ends_s <= second.at_s for first, second in pairwise(blows))


def test_long_runs_have_two_long_outages_and_three_seeds_have_all() -> None:
    long = {
        seed: {blow.kind for blow in of_a_run(seed, 240) if blow.lasts_s == LONG_S}
        for seed in (1, 2, 3)
    }

    assert [len(kinds) for kinds in long.values()] == [2, 2, 2]
    assert len(set().union(*long.values())) == 6


def test_a_short_run_has_no_long_outage() -> None:
    assert all(blow.lasts_s < LONG_S for blow in of_a_run(7, 40))


def test_every_worker_and_every_host_gets_its_share() -> None:
    blows = of_a_run(7, 240)

    assert {each.target for each in blows if each.kind.startswith("worker")} == {0, 1}
    assert {each.target for each in blows if each.kind.startswith("host")} == {0, 1, 2, 3}
