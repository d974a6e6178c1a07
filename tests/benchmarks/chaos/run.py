"""A run: bots chat, the monkey rages, the dust settles, and the evidence is gathered."""

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
from tests.benchmarks.chaos.fault_injector import Monkey
from tests.benchmarks.chaos.sandbox_client import Fairground, open_fairground
from tests.benchmarks.chaos.schedule import schedule
from tests.benchmarks.chaos.verdict import Verdict, judge
from tests.benchmarks.chaos.workers import Crew, WorkerChild
from tests.support import conversations

# What the hook's trigger is set to.
_MINIMUM, _MAXIMUM = 3, 5
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is like.

    People go on writing for `calm_s` after the last blow, so that recovery can be seen; then the
    last request may take `settle_s`.
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
    """What came of it; stories of all offences are in a folder of the plan's `out`."""

    verdict: Verdict
    turns: int
    turns_failed: int
    blows: int
    settled_s: float


async def run(
    plan: Plan,
    postgres: PostgresServer,
    valkey: ValkeyServer,
    *,
    start: Callable[[LaunchCommand], WorkerChild] = ServerProcess,
) -> Outcome:
    """Run it on servers of its own; the database is migrated. Call it in the main thread.

    `start` starts a worker.
    """
    async with AsyncExitStack() as stack:
        fairground = await stack.enter_async_context(
            open_fairground(
                plan.out,
                hosts=plan.hosts,
                seconds_per_picture=plan.seconds_per_picture,
                seed=plan.seed,
            )
        )
        settings = _settings(plan, postgres, valkey, fairground)
        crew = Crew(plan.out, settings, posts=plan.workers, start=start)
        monkey = Monkey(crew=crew, valkey=valkey, postgres=postgres, fairground=fairground)
        blows = schedule(plan.seed, plan.seconds, workers=plan.workers, hosts=plan.hosts)
        async with _bot(plan, postgres, valkey) as bot:
            async with crew.working():
                async with bot.chatting():
                    await monkey.rage(blows)
                    await asyncio.sleep(plan.calm_s)
                settled_s = await _settled(plan, postgres.url)
            record = await fairground.record()
            complaints = [*crew.complaints, *_complaints(plan.out)]
            evidence = await gather_evidence.gather(
                postgres.url,
                record,
                promised=bot.promised,
                struck=monkey.struck,
                complaints=complaints,
            )
        verdict = _judged(plan, evidence, record)
        return Outcome(
            verdict=verdict,
            turns=bot.turns,
            turns_failed=bot.failed,
            blows=len(blows),
            settled_s=settled_s,
        )


def _judged(plan: Plan, evidence: Evidence, record: dict[str, Any]) -> Verdict:
    verdict = judge(evidence, minimum=_MINIMUM)
    request_history.write(evidence, verdict.offences, record, plan.out)
    return verdict


def _complaints(out: Path) -> list[Any]:
    return [each for log in sorted(out.glob("worker-*.log")) for each in log_faults.in_log(log)]


async def _settled(plan: Plan, database_url: str) -> float:
    """Wait until every request has ended, or for long enough; return how long that was, in s."""
    began = time.monotonic()
    while (took := time.monotonic() - began) < plan.settle_s:
        with suppress(OSError, asyncpg.PostgresError, TimeoutError):
            if not await gather_evidence.open_requests(database_url):
                break
        await asyncio.sleep(_LOOK_EVERY_S)
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
    plan: Plan, postgres: PostgresServer, valkey: ValkeyServer, fairground: Fairground
) -> dict[str, str]:
    return {
        "DATABASE_URL": postgres.url,
        "REDIS_URL": valkey.url,
        "COMFYUI_HOSTS": ",".join(fairground.hosts),
        "TELEGRAM_BOT_TOKEN": fairground.token,
        "TELEGRAM_API_URL": fairground.telegram,
        "IMAGE_STORE": (plan.out / "images").absolute().as_uri(),
        "WORKERS_SHARE_HOSTS": "true",
        # Many at once on one machine; the posts change hands all the time.
        "WEB_PORT": "0",
        # All that lasts minutes in production, on the scale of this run.
        "GENERATION_TIMEOUT": "20",
        "COMFYUI_SILENCE_TIMEOUT": "8",
        "COMFYUI_LOOK_AFTER": "2",
        "COMFYUI_AWAY_TIMEOUT": "4",
        "COMFYUI_REQUEST_TIMEOUT": "5",
        "TELEGRAM_TIMEOUT": "5",
        "STOP_GRACE": "10",
    }
