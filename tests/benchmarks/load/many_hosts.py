"""Many hosts: one worker keeps dozens of GPUs drawing."""

from collections.abc import AsyncGenerator

from tests.benchmarks.load import our_worker
from tests.benchmarks.load.contestant import all_ended
from tests.benchmarks.load.sandbox_fleet import FleetOptions, open_fleet
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report import gpu_time
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Meter

NAME = "many-hosts"
_CASES = (
    (FleetOptions(hosts=16, drawing_s=0.5, jitter=0.2), 0.97),
    (FleetOptions(hosts=100, drawing_s=2.5, jitter=0.2), 0.97),
)
# 100 hosts × 2.5 s are forty pictures a second on one core, at nine tenths of it.
_CPU_MS = 22.0
_PATIENCE_S = 300.0


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Draw with each fleet."""
    per_host = 6 if backends.is_quick else 16
    for options, goal in _CASES:
        yield (figure := await _figure(backends, options, per_host, goal))
    yield _cpu_figure(figure, backends)


def _cpu_figure(figure: Figure, backends: BenchmarkServers) -> Figure:
    """Return what a picture costs a worker that is as busy as with so many hosts."""
    cpu_ms, most_ms = figure.facts["worker_cpu_ms_per_picture"], backends.calibration.most(_CPU_MS)
    return Figure(
        row=NAME,
        name=f"CPU of the worker for a picture of 12 kB, {_CASES[-1][0].hosts} hosts",
        measured=f"{cpu_ms:.1f} ms",
        target=f"≤ {most_ms:.0f} ms",
        is_reached=cpu_ms <= most_ms,
    )


async def _figure(
    backends: BenchmarkServers, options: FleetOptions, per_host: int, goal: float
) -> Figure:
    count = per_host * options.hosts
    home = await backends.clear(f"{NAME} {options.hosts}")
    async with (
        open_fleet(home, options) as fleet,
        our_worker.start_without_workers(backends, home, fleet, REQUEST_MAX_AGE="0") as we,
    ):
        await we.submit(count)
        we.start()
        await we.ready()
        worker, sandbox = Meter([we.workers[0].pid]), Meter([fleet.pid])
        took_s = await all_ended(we, count, patience_s=_PATIENCE_S)
        worker_load, sandbox_load = worker.read(), sandbox.read()
        lines, arrived = await fleet.timelines(), await fleet.arrived()
    share = gpu_time.saturation(lines, gpu_time.while_all_draw(lines))
    return Figure(
        row=NAME,
        name=f"{options.hosts} hosts × {options.drawing_s:g} s",
        measured=f"{share:.3f} ({arrived} of {count} in {took_s:.0f} s)",
        target=f"≥ {goal}",
        ceiling="1",
        is_reached=share >= goal and arrived == count,
        worker_cpu=worker_load.cores,
        sandbox_cpu=sandbox_load.cores,
        facts={
            "saturation": share,
            "with_ramp": gpu_time.saturation(lines),
            "worker_cpu_ms_per_picture": 1000 * worker_load.seconds / count,
            "sandbox_cpu_ms_per_picture": 1000 * sandbox_load.seconds / count,
        },
    )
