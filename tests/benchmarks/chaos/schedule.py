"""The schedule of faults: which one happens when; a pure function of the seed."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.chaos.fault import ChaosFaultKind, ScheduledFault

# How long an outage lasts in a run that has the time for it, and what it may hit.
LONG_S = 60.0
_LONG_RUN_S = 200.0
_LONG = (
    ChaosFaultKind.REDIS_STOPPED,
    ChaosFaultKind.POSTGRES_FROZEN,
    ChaosFaultKind.ALL_HOSTS_KILLED,
    ChaosFaultKind.REDIS_FROZEN,
    ChaosFaultKind.POSTGRES_STOPPED,
    ChaosFaultKind.TELEGRAM_AWAY,
)
# The first seconds are without a fault, so that everything has begun to work.
_CALM_S = 3.0

# Of a host, and of Telegram.
FAULTS = (
    "drop:at=progress",
    "drop:at=over",
    "drop:at=execution_success",
    "deaf:at=connect",
    "answer-lost",
    "answer-lost:route=/view",
    "late-history:seconds=2",
    "slow-view:seconds=3",
    "broken-view:how=cut",
    "foreign-interrupt",
    "lost-interrupt",
    "stall",
    "out-of-memory",
    "deleted",
    "trickle:route=/history",
    "wrong-type:route=/queue",
    "unavailable:seconds=2",
)
TROUBLES = (
    "flood:1",
    "flood:3",
    "error:500",
    "error:502",
    "gateway",
    "gateway:accepted",
    "hang",
    "hang:accepted",
    "drop",
    "drop:accepted",
    "restarting",
)


# By how many seconds a worker's clock is wrong.
_CLOCK_OFFSETS = ("-40", "-7", "+7", "+40")


@dataclass(frozen=True, kw_only=True)
class _FaultOption:
    """A fault that may be chosen, and how long it lasts, in seconds."""

    kind: ChaosFaultKind
    lasts: tuple[float, float] = (0.0, 0.0)
    details: Sequence[str] = ("",)


@dataclass(frozen=True, kw_only=True)
class _Lane:
    """Faults of which one happens at a time; `gap` is the pause between two, in seconds.

    In each round each of the options has its turn, in an order by chance.
    """

    name: str
    options: Sequence[_FaultOption]
    gap: tuple[float, float]
    targets: Sequence[int] = (0,)


def schedule(
    seed: int, seconds: float, *, workers: int, hosts: int, pauses: float = 1.0
) -> tuple[ScheduledFault, ...]:
    """Return all faults of a run in order; all are healed when the `seconds` are over.

    `pauses` is the factor by which the pauses between two faults are longer than usual.
    """
    long = tuple(_long_outages(seed, seconds))
    faults = [
        fault
        for lane in _lanes(workers, hosts)
        for fault in _fill(lane, random.Random(f"{seed} {lane.name}"), seconds, pauses)
        if not any(_overlap(fault, outage) for outage in long)
    ]
    return tuple(sorted([*faults, *long], key=lambda fault: fault.at_s))


def endless(seed: int, *, hosts: int) -> Iterator[ScheduledFault]:
    """Yield faults for ever, in rounds of all that leave the workers' processes alive.

    They are for one after the other, so the time at which each is due is 0.
    """
    chance = random.Random(seed)
    lanes = [lane for lane in _lanes(0, hosts) if lane.options is not _ALL_WORKERS]
    options = [(lane, option) for lane in lanes for option in lane.options]
    while True:
        for lane, option in chance.sample(options, len(options)):
            yield _chosen(option, lane, chance, at_s=0.0)


def _lanes(workers: int, hosts: int) -> Iterator[_Lane]:
    for number in range(workers):
        yield _Lane(name=f"worker {number}", options=_WORKER, gap=(4, 12), targets=(number,))
    yield _Lane(name="all workers", options=_ALL_WORKERS, gap=(50, 80))
    yield _Lane(name="redis", options=_REDIS, gap=(7, 13))
    yield _Lane(name="postgres", options=_POSTGRES, gap=(8, 14))
    yield _Lane(name="hosts", options=_HOST, gap=(1, 4), targets=range(hosts))
    yield _Lane(name="telegram", options=_TELEGRAM, gap=(2, 6))
    yield _Lane(name="store", options=_STORE, gap=(15, 30))


_WORKER = (
    _FaultOption(kind=ChaosFaultKind.WORKER_KILLED, lasts=(0.0, 4.0)),
    _FaultOption(kind=ChaosFaultKind.WORKER_FROZEN, lasts=(1.0, 14.0)),
    _FaultOption(kind=ChaosFaultKind.WORKER_REPLACED),
    _FaultOption(kind=ChaosFaultKind.WORKER_CLOCK_WRONG, lasts=(8.0, 16.0), details=_CLOCK_OFFSETS),
)
# Long enough for the new workers to start, and to take up what the killed ones had.
_ALL_WORKERS = (_FaultOption(kind=ChaosFaultKind.WORKERS_KILLED_TWICE, lasts=(9.0, 14.0)),)
_REDIS = (
    _FaultOption(kind=ChaosFaultKind.REDIS_STOPPED, lasts=(0.5, 6.0)),
    _FaultOption(kind=ChaosFaultKind.REDIS_FROZEN, lasts=(1.0, 8.0)),
    _FaultOption(kind=ChaosFaultKind.REDIS_FLUSHED),
    _FaultOption(kind=ChaosFaultKind.REDIS_REFUSES_WRITES, lasts=(1.0, 8.0)),
    _FaultOption(kind=ChaosFaultKind.REDIS_LOSES_KEYS, lasts=(2.0, 8.0)),
)
_POSTGRES = (
    _FaultOption(kind=ChaosFaultKind.POSTGRES_STOPPED, lasts=(0.2, 4.0)),
    _FaultOption(kind=ChaosFaultKind.POSTGRES_KILLED, lasts=(0.2, 2.0)),
    _FaultOption(kind=ChaosFaultKind.POSTGRES_FROZEN, lasts=(1.0, 6.0)),
    _FaultOption(kind=ChaosFaultKind.POSTGRES_READ_ONLY, lasts=(1.0, 8.0)),
    _FaultOption(kind=ChaosFaultKind.POSTGRES_SESSIONS_READ_ONLY, lasts=(1.0, 6.0)),
    _FaultOption(kind=ChaosFaultKind.POSTGRES_CONNECTIONS_DEAD),
)
_HOST = (
    _FaultOption(kind=ChaosFaultKind.HOST_KILLED, lasts=(0.5, 8.0)),
    _FaultOption(kind=ChaosFaultKind.HOST_FROZEN, lasts=(0.5, 8.0)),
    *[_FaultOption(kind=ChaosFaultKind.HOST_FAULTY, details=FAULTS)] * 4,
    _FaultOption(kind=ChaosFaultKind.HOST_FROZEN_LONG, lasts=(20.0, 20.0)),
)
_TELEGRAM = (
    *[_FaultOption(kind=ChaosFaultKind.TELEGRAM_TROUBLED, details=TROUBLES)] * 4,
    _FaultOption(kind=ChaosFaultKind.TELEGRAM_AWAY, lasts=(0.5, 4.0)),
    _FaultOption(kind=ChaosFaultKind.TELEGRAM_DROPS_PACKETS, lasts=(1.0, 8.0)),
)
_STORE = (
    _FaultOption(kind=ChaosFaultKind.STORE_FULL, lasts=(1.0, 6.0)),
    _FaultOption(kind=ChaosFaultKind.STORE_READ_ONLY, lasts=(1.0, 6.0)),
    _FaultOption(kind=ChaosFaultKind.STORE_MISSING, lasts=(1.0, 6.0)),
)


def _fill(
    lane: _Lane, chance: random.Random, seconds: float, pauses: float
) -> Iterator[ScheduledFault]:
    at_s = _CALM_S + pauses * chance.uniform(0, lane.gap[1])
    while True:
        for option in chance.sample(lane.options, len(lane.options)):
            fault = _chosen(option, lane, chance, at_s=at_s)
            if fault.ends_s > seconds:
                return
            yield fault
            at_s = fault.ends_s + pauses * chance.uniform(*lane.gap)


def _chosen(
    option: _FaultOption, lane: _Lane, chance: random.Random, *, at_s: float
) -> ScheduledFault:
    return ScheduledFault(
        at_s=at_s,
        kind=option.kind,
        lasts_s=chance.uniform(*option.lasts),
        target=chance.choice(lane.targets),
        detail=chance.choice(option.details),
    )


def _long_outages(seed: int, seconds: float) -> Iterator[ScheduledFault]:
    """Yield two in a long run; the runs of three seeds in a row have all of them."""
    if seconds < _LONG_RUN_S:
        return
    for number, share in enumerate((0.1, 0.55)):
        kind = _LONG[(2 * seed + number) % len(_LONG)]
        yield ScheduledFault(at_s=share * seconds, kind=kind, lasts_s=LONG_S)


def _overlap(fault: ScheduledFault, outage: ScheduledFault) -> bool:
    """Tell whether both concern the same thing at the same time."""
    is_of_hosts = "host" in fault.kind and "host" in outage.kind
    is_same = is_of_hosts or fault.kind.split()[0] == outage.kind.split()[0]
    return is_same and fault.at_s <= outage.ends_s + 1 and fault.ends_s >= outage.at_s - 1
