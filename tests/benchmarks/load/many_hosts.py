"""Many hosts: one worker keeps dozens of GPUs drawing."""

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
_PATIENCE_S = 600.0


async def run(backends: BenchmarkServers) -> list[Figure]:
    """Draw with each fleet."""
    per_host, cases = (8, _CASES[:1]) if backends.is_quick else (20, _CASES)
    return [await _figure(backends, options, per_host, goal) for options, goal in cases]


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
