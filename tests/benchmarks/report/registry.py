"""The rows of the table, in the order in which they run."""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TypeAlias

from tests.benchmarks.load import (
    affinity,
    backlog,
    cost,
    covers,
    fairness,
    full_hosts,
    hook,
    idle,
    many_hosts,
    memory,
    outage,
    recovery,
    retention,
    saturation,
    start,
    workers,
)
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure

# Yields each figure when it is measured, so that those before a failure are kept.
Row: TypeAlias = Callable[[BenchmarkServers], AsyncGenerator[Figure, None]]

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
        covers,
        retention,
        backlog,
        memory,
        start,
        cost,
    )
}
