"""One run: bots chat, faults are injected, all requests end, and the evidence is judged."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import asyncpg

from chatflow_hook import ChatFlowHook
from chatflow_hook.settings import HookSettings
from imagegen.db.engine import connect
from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.process import LaunchCommand, ServerProcess
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.benchmarks.chaos import gather_evidence, log_faults, request_history
from tests.benchmarks.chaos.bot import Bot, Pace
from tests.benchmarks.chaos.evidence import Evidence, InjectedFault
from tests.benchmarks.chaos.fault import ChaosFaultKind
from tests.benchmarks.chaos.fault_injector import FaultInjector
from tests.benchmarks.chaos.sandbox_client import SandboxClient, running_sandbox
from tests.benchmarks.chaos.schedule import schedule
from tests.benchmarks.chaos.store_faults import StoreDisk
from tests.benchmarks.chaos.verdict import Verdict, judge
from tests.benchmarks.chaos.workers import WorkerGroup, WorkerProcess
from tests.support import conversations

# The hook's IMAGE_TRIGGER_MIN and IMAGE_TRIGGER_MAX, in messages.
_MINIMUM, _MAXIMUM = 3, 5
_POLL_INTERVAL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class ChaosPlan:
    """The options of a run; durations in seconds.

    People go on writing for `calm_s` after the last fault, so that recovery can be seen; then the
    last request may take `settle_s` to end. At last they write in each dialog until a picture is
    due, and these have `settle_s` too. `pauses` is the factor by which the pauses between faults
    are longer than usual.
    """

    seed: int
    seconds: float
    out: Path
    pace: Pace
    workers: int = 2
    hosts: int = 4
    pauses: float = 1.0
    seconds_per_picture: float = 0.6
    calm_s: float = 8.0
    settle_s: float = 120.0


@dataclass(frozen=True, kw_only=True)
class ChaosOutcome:
    """The result of a run; the histories of all violations are in a folder of the plan's `out`."""

    verdict: Verdict
    turns: int
    turns_failed: int
    injected: Sequence[InjectedFault]
    # Why some kinds of fault cannot be injected on this machine.
    left_out: Mapping[ChaosFaultKind, str]
    settled_s: float


async def run(
    plan: ChaosPlan,
    postgres: PostgresServer,
    valkey: ValkeyServer,
    store: StoreDisk,
    *,
    start: Callable[[LaunchCommand], WorkerProcess] = ServerProcess,
) -> ChaosOutcome:
    """Run it on these servers, whose database is migrated. Call it in the main thread.

    `start` starts the process of a worker.
    """
    async with AsyncExitStack() as stack:
        sandbox_client = await stack.enter_async_context(
            running_sandbox(
                plan.out,
                hosts=plan.hosts,
                seconds_per_picture=plan.seconds_per_picture,
                seed=plan.seed,
                database_url=postgres.url,
            )
        )
        database_url = sandbox_client.database_url(postgres.url)
        worker_group = WorkerGroup(
            plan.out,
            worker_environment(database_url, valkey.url, sandbox_client, store),
            count=plan.workers,
            start=start,
        )
        injector = FaultInjector(
            worker_group=worker_group,
            valkey=valkey,
            postgres=postgres,
            sandbox_client=sandbox_client,
            store=store,
        )
        left_out = {
            kind: why for kind in ChaosFaultKind if (why := injector.why_not(kind)) is not None
        }
        faults = schedule(
            plan.seed,
            plan.seconds,
            workers=plan.workers,
            hosts=plan.hosts,
            pauses=plan.pauses,
        )
        async with _bot(plan, database_url, valkey) as bot:
            async with worker_group.running():
                async with bot.chatting():
                    await injector.run([each for each in faults if each.kind not in left_out])
                    await sandbox_client.calm()
                    await asyncio.sleep(plan.calm_s)
                settled_s = await wait_until_ended(postgres.url, settle_s=plan.settle_s)
                last_requests = await bot.ask_in_all_dialogs(_MAXIMUM)
                await wait_until_ended(postgres.url, settle_s=plan.settle_s)
            record = await sandbox_client.record()
            worker_faults = [*worker_group.worker_faults, *log_faults.in_logs(plan.out)]
            evidence = await gather_evidence.gather(
                postgres.url,
                record,
                committed=bot.committed,
                injected=injector.injected,
                worker_faults=worker_faults,
                last_requests=last_requests,
            )
        verdict = _judge(plan, evidence, record)
        return ChaosOutcome(
            verdict=verdict,
            turns=bot.turns,
            turns_failed=bot.failed,
            injected=injector.injected,
            left_out=left_out,
            settled_s=settled_s,
        )


def _judge(plan: ChaosPlan, evidence: Evidence, record: dict[str, Any]) -> Verdict:
    verdict = judge(evidence, minimum=_MINIMUM)
    request_history.write(evidence, verdict.violations, record, plan.out)
    return verdict


async def wait_until_ended(database_url: str, *, settle_s: float) -> float:
    """Wait until every request has ended, at most `settle_s`; return how many seconds it took."""
    began = time.monotonic()
    while (took := time.monotonic() - began) < settle_s:
        with suppress(OSError, asyncpg.PostgresError, TimeoutError):
            if not await gather_evidence.open_requests(database_url):
                break
        await asyncio.sleep(_POLL_INTERVAL_S)
    return took


@asynccontextmanager
async def _bot(plan: ChaosPlan, database_url: str, valkey: ValkeyServer) -> AsyncIterator[Bot]:
    settings = HookSettings(
        _env_file=None,
        database_url=database_url,
        redis_url=valkey.url,
        image_trigger_min=_MINIMUM,
        image_trigger_max=_MAXIMUM,
    )
    engine = connect(database_url)
    try:
        async with ChatFlowHook(settings, chance=Random(plan.seed)) as hook:
            yield Bot(hook, conversations.sessions_of(engine), pace=plan.pace, seed=plan.seed)
    finally:
        await engine.dispose()


def worker_environment(
    database_url: str, redis_url: str, sandbox_client: SandboxClient, store: StoreDisk
) -> dict[str, str]:
    """Return the settings of a worker of a run with faults."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "COMFYUI_HOSTS": ",".join(sandbox_client.hosts),
        "TELEGRAM_BOT_TOKEN": sandbox_client.token,
        "TELEGRAM_API_URL": sandbox_client.telegram,
        "IMAGE_STORE": store.directory.absolute().as_uri(),
        "WORKERS_SHARE_HOSTS": "true",
        # Any free port: many workers run at once on one machine, and are replaced all the time.
        "WEB_PORT": "0",
        # Limits that are minutes in production, on the scale of this run.
        "GENERATION_TIMEOUT": "20",
        "COMFYUI_SILENCE_TIMEOUT": "8",
        "COMFYUI_LOADING_TIMEOUT": "8",
        "COMFYUI_LOOK_AFTER": "2",
        "COMFYUI_AWAY_TIMEOUT": "4",
        "COMFYUI_REQUEST_TIMEOUT": "5",
        "TELEGRAM_TIMEOUT": "5",
        "STOP_GRACE": "10",
    }
