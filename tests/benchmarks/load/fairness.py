"""Fairness: one user who asks for fifty pictures does not make twenty others wait for them."""

from collections.abc import AsyncGenerator
from statistics import mean
from typing import Any

from tests.benchmarks.load import our_worker
from tests.benchmarks.load.contestant import all_ended
from tests.benchmarks.load.sandbox_fleet import FleetOptions, open_fleet
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Load, Meter

NAME = "fairness"
_OPTIONS = FleetOptions(hosts=2, drawing_s=0.7, jitter=0.2)
_GREEDY, _OTHERS = 50, 20
_GREEDY_USER = 7
_MOST = 1.5
_PATIENCE_S = 200.0
_WAITS = """
    SELECT extract(epoch FROM finished_at - created_at)::float8 AS seconds
    FROM image_requests WHERE user_id <> $USER
""".replace("$USER", str(_GREEDY_USER))


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Compare the waits of the twenty with and without the one."""
    alone, *_ = await _waits(backends, greedy=0)
    beside, worker, sandbox = await _waits(backends, greedy=_GREEDY)
    ratio = mean(beside) / mean(alone)
    yield Figure(
        row=NAME,
        name=f"{_OTHERS} users beside one with {_GREEDY} requests",
        measured=f"{ratio:.2f} × ({mean(beside):.1f} s, alone {mean(alone):.1f} s)",
        target=f"≤ {_MOST:g} ×",
        is_reached=ratio <= _MOST,
        worker_cpu=worker.cores,
        sandbox_cpu=sandbox.cores,
        facts={"alone_s": alone, "beside_s": beside},
    )


async def _waits(backends: BenchmarkServers, *, greedy: int) -> tuple[list[float], Load, Load]:
    home = await backends.clear(f"{NAME} {greedy}")
    async with (
        open_fleet(home, _OPTIONS) as fleet,
        our_worker.start_with_workers(backends, home, fleet) as we,
    ):
        worker, sandbox = Meter([we.workers[0].pid]), Meter([fleet.pid])
        said: dict[str, Any] = {"user_id": _GREEDY_USER}
        await we.ask(list(range(1, greedy + 1)), **said)
        await we.ask(list(range(1001, 1001 + _OTHERS)))
        await all_ended(we, greedy + _OTHERS, patience_s=_PATIENCE_S)
        loads = worker.read(), sandbox.read()
        return [row["seconds"] for row in await we.rows(_WAITS)], *loads
