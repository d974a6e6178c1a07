"""The rows of the table, in the order in which they run."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from tests.benchmarks.load import (
    affinity,
    backlog,
    cost,
    fairness,
    full_hosts,
    hook,
    idle,
    many_hosts,
    memory,
    outage,
    recovery,
    saturation,
    start,
    workers,
)
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure

Row: TypeAlias = Callable[[BenchmarkServers], Awaitable[list[Figure]]]

ROWS: Mapping[str, Row] = {
    row.NAME: row.run
    for row in (
        saturation,
        outage,
        many_hosts,
        workers,
        full_hosts,
        idle,
        affinity,
        fairness,
        recovery,
        hook,
        backlog,
        memory,
        start,
        cost,
    )
}
