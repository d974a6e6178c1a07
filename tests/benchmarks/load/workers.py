"""Several workers on the same hosts: 1, 2 and 4 of them, and one of two that is killed."""

import time
from collections.abc import AsyncGenerator, Sequence

from tests.benchmarks.load import our_worker
from tests.benchmarks.load.contestant import all_ended
from tests.benchmarks.load.sandbox_fleet import FleetOptions, open_fleet
from tests.benchmarks.load.saturation import OPTIONS
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report import gpu_time
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Load, Meter

NAME = "workers"
_WORKERS = (1, 2, 4)
_HOSTS = FleetOptions(hosts=50, drawing_s=2.5, jitter=0.2, large=True)
_PER_HOST = 10
_TARGET = 0.97
_KILLED_COUNT, _KILLED_AFTER = 60, 20
_KILLED_TARGET = 0.96
_PATIENCE_S = 400.0


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Share fifty hosts among more and more workers; then kill one of two on two hosts."""
    for workers in _WORKERS[1:2] if backends.is_quick else _WORKERS:
        yield await _shared(backends, workers)
    yield await _killed(backends)


async def _shared(backends: BenchmarkServers, workers: int) -> Figure:
    count = (6 if backends.is_quick else _PER_HOST) * _HOSTS.hosts
    home = await backends.clear(f"{NAME} {workers}")
    async with (
        open_fleet(home, _HOSTS) as fleet,
        our_worker.start_without_workers(
            backends, home, fleet, WORKERS_SHARE_HOSTS="true", REQUEST_MAX_AGE="0"
        ) as we,
    ):
        for _ in range(workers):
            we.start()
        await we.ready()
        meters = [Meter([each.pid]) for each in we.workers]
        sandbox = Meter([fleet.pid])
        await we.submit(count)
        took_s = await all_ended(we, count, patience_s=_PATIENCE_S)
        loads, sandbox_load = [each.read() for each in meters], sandbox.read()
        lines, arrived = await fleet.timelines(), await fleet.arrived()
        drawn = we.pictures_of_each()
    share = gpu_time.saturation(lines, gpu_time.while_all_draw(lines))
    is_target = workers == 2  # four are more than two cores can bear
    return Figure(
        row=NAME,
        name=f"{workers} sharing {_HOSTS.hosts} hosts × {_HOSTS.drawing_s:g} s, 1.3 MB",
        measured=f"{share:.3f} ({arrived} of {count} in {took_s:.0f} s), "
        f"{'/'.join(map(str, drawn))} pictures each",
        target=f"≥ {_TARGET}" if is_target else "",
        ceiling="1",
        is_reached=share >= _TARGET and arrived == count if is_target else None,
        worker_cpu=sum(each.cores for each in loads),
        sandbox_cpu=sandbox_load.cores,
        facts={
            "saturation": share,
            "with_ramp": gpu_time.saturation(lines),
            "pictures_of_each": drawn,
            "cores_of_each": [each.cores for each in loads],
            "worker_cpu_ms_per_picture": 1000 * _seconds(loads) / count,
        },
    )


def _seconds(loads: Sequence[Load]) -> float:
    return sum(each.seconds for each in loads)


async def _killed(backends: BenchmarkServers) -> Figure:
    home = await backends.clear(f"{NAME} killed")
    async with (
        open_fleet(home, OPTIONS) as fleet,
        our_worker.start_without_workers(backends, home, fleet, WORKERS_SHARE_HOSTS="true") as we,
    ):
        we.start()
        we.start()
        await we.ready()
        worker, sandbox = Meter([we.workers[1].pid]), Meter([fleet.pid])
        began = time.monotonic()
        await we.submit(_KILLED_COUNT)
        await all_ended(we, _KILLED_AFTER, patience_s=_PATIENCE_S)
        we.workers[0].kill()
        await all_ended(we, _KILLED_COUNT, patience_s=_PATIENCE_S)
        took_s = time.monotonic() - began
        loads = worker.read(), sandbox.read()
        record = await fleet.record()
    captions = [each["caption"] for each in record["arrivals"]]
    share = gpu_time.saturation(gpu_time.timelines(record))
    missing, doubles = _KILLED_COUNT - len(set(captions)), len(record["doubles"])
    return Figure(
        row=NAME,
        name="one of two on two hosts is killed",
        measured=f"{share:.3f} ({missing} of {_KILLED_COUNT} missing in {took_s:.0f} s, "
        f"{len(captions) - len(set(captions))} sent twice, {doubles} drawn twice)",
        target=f"≥ {_KILLED_TARGET}",
        ceiling="0.99",
        is_reached=share >= _KILLED_TARGET and not missing,
        worker_cpu=loads[0].cores,
        sandbox_cpu=loads[1].cores,
        facts={"saturation": share, "sent": len(captions), "drawn_twice": doubles},
    )
