"""The schedule of faults."""

from collections import defaultdict
from itertools import islice, pairwise

import pytest

from tests.benchmarks.chaos.fault import ChaosFaultKind, ScheduledFault
from tests.benchmarks.chaos.schedule import FAULTS, LONG_S, TROUBLES, endless, schedule


def of_a_run(seed: int, seconds: float = 120) -> tuple[ScheduledFault, ...]:
    return schedule(seed, seconds, workers=2, hosts=4)


def test_a_seed_gives_the_same_faults_each_time() -> None:
    assert of_a_run(7) == of_a_run(7)


def test_another_seed_gives_other_faults() -> None:
    assert of_a_run(7) != of_a_run(8)


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    short, longer = of_a_run(7, 60), of_a_run(7, 120)

    assert [fault for fault in longer if fault.ends_s <= 60] == list(short)


@pytest.mark.parametrize("seed", range(1, 6))
def test_everything_breaks_in_each_run_of_default_length(seed: int) -> None:
    seen = {fault.kind for fault in of_a_run(seed, 240)}

    # Outages of all hosts are long ones, of which a run has two of all.
    assert seen | {ChaosFaultKind.ALL_HOSTS_KILLED} == set(ChaosFaultKind)


def test_every_fault_of_a_host_and_of_telegram_comes_within_five_runs() -> None:
    details = {fault.detail for seed in range(1, 6) for fault in of_a_run(seed, 240)}

    assert set(FAULTS) | set(TROUBLES) <= details


def test_faults_without_an_end_leave_the_workers_alive_and_come_in_rounds() -> None:
    faults = list(islice(endless(7, hosts=4), 200))

    kinds = {fault.kind for fault in faults}
    assert kinds == {
        kind
        for kind in ChaosFaultKind
        if not kind.startswith("worker") and kind != ChaosFaultKind.ALL_HOSTS_KILLED
    }
    assert faults == list(islice(endless(7, hosts=4), 200))


def test_faults_come_in_order_and_are_over_at_the_end() -> None:
    faults = of_a_run(7)

    assert list(faults) == sorted(faults, key=lambda fault: fault.at_s)
    assert all(0 < fault.at_s <= fault.ends_s <= 120 for fault in faults)


def test_nothing_is_broken_while_it_is_broken() -> None:
    by_thing: dict[str, list[ScheduledFault]] = defaultdict(list)
    for fault in of_a_run(7, 240):
        # Hosts share one lane, workers have one each.
        number = fault.target if fault.kind.startswith("worker") else 0
        by_thing[f"{fault.kind.replace('all hosts', 'host').split()[0]} {number}"].append(fault)

    assert len(by_thing) == 8
    for faults in by_thing.values():
        assert all(first.ends_s <= second.at_s for first, second in pairwise(faults))


def test_long_runs_have_two_long_outages_and_three_seeds_have_all() -> None:
    long = {
        seed: {fault.kind for fault in of_a_run(seed, 240) if fault.lasts_s == LONG_S}
        for seed in (1, 2, 3)
    }

    assert [len(kinds) for kinds in long.values()] == [2, 2, 2]
    assert len(set().union(*long.values())) == 6


def test_a_short_run_has_no_long_outage() -> None:
    assert all(fault.lasts_s < LONG_S for fault in of_a_run(7, 40))


def test_every_worker_and_every_host_gets_its_share() -> None:
    faults = of_a_run(7, 240)

    assert {each.target for each in faults if each.kind.startswith("worker")} == {0, 1}
    assert {each.target for each in faults if each.kind.startswith("host")} == {0, 1, 2, 3}
