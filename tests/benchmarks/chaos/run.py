"""One run: bots chat, faults are injected, all requests end, and the evidence is judged."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
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
from tests.benchmarks.chaos.evidence import Evidence
from tests.benchmarks.chaos.fault_injector import FaultInjector
from tests.benchmarks.chaos.sandbox_client import SandboxClient, running_sandbox
from tests.benchmarks.chaos.schedule import schedule
from tests.benchmarks.chaos.verdict import Verdict, judge
from tests.benchmarks.chaos.workers import WorkerGroup, WorkerProcess
from tests.support import conversations

# The hook's IMAGE_TRIGGER_MIN and IMAGE_TRIGGER_MAX, in messages.
_MINIMUM, _MAXIMUM = 3, 5
_POLL_INTERVAL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The options of a run; durations in seconds.

    People go on writing for `calm_s` after the last fault, so that recovery can be seen; then the
    last request may take `settle_s` to end.
    """

    seed: int
    seconds: float
    out: Path
    pace: Pace
    workers: int = 2
    hosts: int = 4
    seconds_per_picture: float = 0.6
    calm_s: float = 8.0
    settle_s: float = 120.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a run; the histories of all violations are in a folder of the plan's `out`."""

    verdict: Verdict
    turns: int
    turns_failed: int
    faults: int
    settled_s: float


async def run(
    plan: Plan,
    postgres: PostgresServer,
    valkey: ValkeyServer,
    *,
    start: Callable[[LaunchCommand], WorkerProcess] = ServerProcess,
) -> Outcome:
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
            )
        )
        worker_group = WorkerGroup(
            plan.out,
            _settings(plan, postgres, valkey, sandbox_client),
            count=plan.workers,
            start=start,
        )
        injector = FaultInjector(
            worker_group=worker_group,
            valkey=valkey,
            postgres=postgres,
            sandbox_client=sandbox_client,
        )
        faults = schedule(plan.seed, plan.seconds, workers=plan.workers, hosts=plan.hosts)
        async with _bot(plan, postgres, valkey) as bot:
            async with worker_group.running():
                async with bot.chatting():
                    await injector.run(faults)
                    await asyncio.sleep(plan.calm_s)
                settled_s = await _wait_until_ended(plan, postgres.url)
            record = await sandbox_client.record()
            worker_faults = [*worker_group.worker_faults, *_worker_faults(plan.out)]
            evidence = await gather_evidence.gather(
                postgres.url,
                record,
                committed=bot.committed,
                injected=injector.injected,
                worker_faults=worker_faults,
            )
        verdict = _judge(plan, evidence, record)
        return Outcome(
            verdict=verdict,
            turns=bot.turns,
            turns_failed=bot.failed,
            faults=len(faults),
            settled_s=settled_s,
        )


def _judge(plan: Plan, evidence: Evidence, record: dict[str, Any]) -> Verdict:
    verdict = judge(evidence, minimum=_MINIMUM)
    request_history.write(evidence, verdict.violations, record, plan.out)
    return verdict


def _worker_faults(out: Path) -> list[Any]:
    return [each for log in sorted(out.glob("worker-*.log")) for each in log_faults.in_log(log)]


async def _wait_until_ended(plan: Plan, database_url: str) -> float:
    """Wait until every request has ended, at most `settle_s`; return how many seconds it took."""
    began = time.monotonic()
    while (took := time.monotonic() - began) < plan.settle_s:
        with suppress(OSError, asyncpg.PostgresError, TimeoutError):
            if not await gather_evidence.open_requests(database_url):
                break
        await asyncio.sleep(_POLL_INTERVAL_S)
    return took


@asynccontextmanager
async def _bot(plan: Plan, postgres: PostgresServer, valkey: ValkeyServer) -> AsyncIterator[Bot]:
    settings = HookSettings(
        _env_file=None,
        database_url=postgres.url,
        redis_url=valkey.url,
        image_trigger_min=_MINIMUM,
        image_trigger_max=_MAXIMUM,
    )
    engine = connect(postgres.url)
    try:
        async with ChatFlowHook(settings, chance=Random(plan.seed)) as hook:
            yield Bot(hook, conversations.sessions_of(engine), pace=plan.pace, seed=plan.seed)
    finally:
        await engine.dispose()


def _settings(
    plan: Plan, postgres: PostgresServer, valkey: ValkeyServer, sandbox_client: SandboxClient
) -> dict[str, str]:
    return {
        "DATABASE_URL": postgres.url,
        "REDIS_URL": valkey.url,
        "COMFYUI_HOSTS": ",".join(sandbox_client.hosts),
        "TELEGRAM_BOT_TOKEN": sandbox_client.token,
        "TELEGRAM_API_URL": sandbox_client.telegram,
        "IMAGE_STORE": (plan.out / "images").absolute().as_uri(),
        "WORKERS_SHARE_HOSTS": "true",
        # Any free port: many workers run at once on one machine, and are replaced all the time.
        "WEB_PORT": "0",
        # Limits that are minutes in production, on the scale of this run.
        "GENERATION_TIMEOUT": "20",
        "COMFYUI_SILENCE_TIMEOUT": "8",
        "COMFYUI_LOOK_AFTER": "2",
        "COMFYUI_AWAY_TIMEOUT": "4",
        "COMFYUI_REQUEST_TIMEOUT": "5",
        "TELEGRAM_TIMEOUT": "5",
        "STOP_GRACE": "10",
    }
