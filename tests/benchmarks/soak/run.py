"""One run: people write, faults come now and then, and what the processes hold is sampled."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from chatflow_hook import ChatFlowHook
from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.process import LaunchCommand, ServerProcess
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.benchmarks.chaos import gather_evidence, log_faults, request_history
from tests.benchmarks.chaos.bot import is_set_within
from tests.benchmarks.chaos.evidence import InjectedFault
from tests.benchmarks.chaos.fault import ChaosFaultKind
from tests.benchmarks.chaos.fault_injector import FaultInjector
from tests.benchmarks.chaos.run import wait_until_ended, worker_environment
from tests.benchmarks.chaos.schedule import endless
from tests.benchmarks.chaos.store_faults import StoreDisk
from tests.benchmarks.chaos.verdict import Verdict, judge
from tests.benchmarks.chaos.workers import WorkerGroup, WorkerProcess
from tests.benchmarks.load.sandbox_fleet import FleetClient, FleetOptions, open_fleet
from tests.benchmarks.soak.chat import Chat
from tests.benchmarks.soak.growth import Growth, growths
from tests.benchmarks.soak.samples import Sampler, Series
from tests.support import conversations

_COMMAND = (sys.executable, "-m", "tests.benchmarks.soak.worker_process")
_ROOT = Path(__file__).parents[3]


# More than a picture takes on the store's disk, and room for the pictures that come meanwhile.
_PICTURE_BYTES = 16 * 1024
_ROOM_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class SoakPlan:
    """The options of a run; durations in seconds.

    A fault comes `fault_every_s` after the end of the one before, `faults` at most. What is held while the first
    `warm_up` pictures are made is not judged: caches and pools fill.
    """

    seed: int
    pictures: int
    out: Path
    warm_up: int
    dialogs: int = 48
    workers: int = 2
    hosts: int = 4
    drawing_s: float = 0.05
    sample_every_s: float = 5.0
    fault_every_s: float = 15.0
    faults: int | None = None
    settle_s: float = 120.0

    @property
    def store_bytes(self) -> int:
        """The size of a disk on which all pictures have room."""
        return self.pictures * _PICTURE_BYTES + _ROOM_BYTES


@dataclass(frozen=True, kw_only=True)
class SoakOutcome:
    """The result of a run: what became of the requests, and what has grown."""

    verdict: Verdict
    growths: list[Growth]
    pictures: int
    seconds: float
    injected: Sequence[InjectedFault]
    # Why some kinds of fault cannot be injected on this machine.
    left_out: Mapping[ChaosFaultKind, str]

    @property
    def is_good(self) -> bool:
        return self.verdict.is_good and all(growth.is_flat for growth in self.growths)


async def run(
    plan: SoakPlan,
    postgres: PostgresServer,
    valkey: ValkeyServer,
    store: StoreDisk,
    *,
    start: Callable[[LaunchCommand], WorkerProcess] = ServerProcess,
) -> SoakOutcome:
    """Run it on these servers, whose database is migrated. Call it in the main thread.

    `start` starts the process of a worker.
    """
    task_counts = plan.out / "tasks"
    task_counts.mkdir()
    async with AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(_fleet(plan, postgres))
        database_url = fleet.database_url(postgres.url)
        environment = {
            **worker_environment(database_url, valkey.url, fleet, store),
            "PYTHONPATH": str(_ROOT),
            "TASK_COUNTS": str(task_counts.absolute()),
        }
        worker_group = WorkerGroup(
            plan.out, environment, count=plan.workers, start=start, command=_COMMAND
        )
        settings = conversations.hook_settings(
            database_url, valkey.url, image_trigger_min=1, image_trigger_max=1
        )
        hook = await stack.enter_async_context(ChatFlowHook(settings))
        chat = Chat(hook, dialogs=plan.dialogs)
        injector = FaultInjector(
            worker_group=worker_group,
            valkey=valkey,
            postgres=postgres,
            sandbox_client=fleet,
            store=store,
        )
        sampler = Sampler(
            worker_group=worker_group,
            database_url=postgres.url,
            redis_url=valkey.url,
            task_counts=task_counts,
            pictures=lambda: chat.pictures,
        )
        async with worker_group.running():
            began = time.monotonic()
            async with _sampling(sampler, plan), _injecting(injector, plan):
                await chat.write(plan.pictures)
            seconds = time.monotonic() - began
            await fleet.calm()
            await wait_until_ended(postgres.url, settle_s=plan.settle_s)
        _keep(sampler.series, plan.out)
        record = await fleet.record()
        evidence = await gather_evidence.gather(
            postgres.url,
            record,
            committed=chat.committed,
            injected=injector.injected,
            worker_faults=[*worker_group.worker_faults, *log_faults.in_logs(plan.out)],
            last_requests={},
        )
        verdict = judge(evidence, minimum=1)
        request_history.write(evidence, verdict.violations, record, plan.out)
    return SoakOutcome(
        verdict=verdict,
        growths=growths(sampler.series, warm_up=plan.warm_up),
        pictures=chat.pictures,
        seconds=seconds,
        injected=injector.injected,
        left_out={
            kind: why for kind in ChaosFaultKind if (why := injector.why_not(kind)) is not None
        },
    )


def _fleet(plan: SoakPlan, postgres: PostgresServer) -> AbstractAsyncContextManager[FleetClient]:
    database = urlsplit(postgres.url).netloc.rpartition("@")[2]
    return open_fleet(
        plan.out,
        FleetOptions(hosts=plan.hosts, drawing_s=plan.drawing_s, seed=plan.seed, database=database),
    )


@asynccontextmanager
async def _sampling(sampler: Sampler, plan: SoakPlan) -> AsyncIterator[None]:
    # Told and not cancelled, since redis-py may lose a cancellation: see imagegen/periodic.py.
    is_over = asyncio.Event()
    task = asyncio.create_task(sampler.run(plan.sample_every_s, is_over), name="sampler")
    try:
        yield
    finally:
        is_over.set()
        await task


@asynccontextmanager
async def _injecting(injector: FaultInjector, plan: SoakPlan) -> AsyncIterator[None]:
    """Inject one fault after the other during the block; the last one is healed at its end."""
    stop = asyncio.Event()
    task = asyncio.create_task(_inject(injector, plan, stop), name="faults")
    try:
        yield
    finally:
        stop.set()
        await task


async def _inject(injector: FaultInjector, plan: SoakPlan, stop: asyncio.Event) -> None:
    began = time.monotonic()
    for fault in islice(endless(plan.seed, hosts=plan.hosts), plan.faults):
        if await is_set_within(stop, plan.fault_every_s):
            return
        if injector.why_not(fault.kind) is None:
            await injector.inject(replace(fault, at_s=time.monotonic() - began))


def _keep(series: Mapping[str, Series], out: Path) -> None:
    (out / "samples.json").write_text(json.dumps(series) + "\n")
