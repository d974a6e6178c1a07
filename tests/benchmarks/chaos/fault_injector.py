"""Injects faults at their time, heals them, and records when."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import assert_never

from redis.asyncio import Redis

from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.server import Server
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.benchmarks.chaos.evidence import InjectedFault
from tests.benchmarks.chaos.fault import Kind, ScheduledFault
from tests.benchmarks.chaos.sandbox_client import SandboxClient
from tests.benchmarks.chaos.workers import WorkerGroup


@dataclass(frozen=True, kw_only=True)
class FaultInjector:
    """Everything that it can break; `injected` is the record of what it did."""

    worker_group: WorkerGroup
    valkey: ValkeyServer
    postgres: PostgresServer
    sandbox_client: SandboxClient
    injected: list[InjectedFault] = field(default_factory=list)

    async def run(self, faults: Sequence[ScheduledFault]) -> None:
        """Inject each fault at its time; return when the last one is healed."""
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                group.create_task(self._inject(fault, started), name=str(fault))

    async def _inject(self, fault: ScheduledFault, started: float) -> None:
        await asyncio.sleep(fault.at_s - (time.monotonic() - started))
        began = time.time()
        async with self._broken(fault):
            await asyncio.sleep(fault.lasts_s)
        self.injected.append(
            InjectedFault(what=str(fault), began=began, ended=time.time(), is_total=fault.is_total)
        )

    def _broken(self, fault: ScheduledFault) -> AbstractAsyncContextManager[None]:
        match fault.kind:
            case Kind.WORKER_KILLED | Kind.WORKER_FROZEN | Kind.WORKER_REPLACED:
                return self._without_worker(fault)
            case Kind.REDIS_STOPPED | Kind.REDIS_FROZEN:
                return _without(self.valkey, fault)
            case Kind.POSTGRES_STOPPED | Kind.POSTGRES_KILLED | Kind.POSTGRES_FROZEN:
                return _without(self.postgres, fault)
            case Kind.REDIS_FLUSHED:
                return self._flushed()
            case Kind.HOST_KILLED | Kind.HOST_FROZEN | Kind.HOST_FAULTY:
                return self._without_hosts(fault, [fault.target])
            case Kind.ALL_HOSTS_KILLED:
                return self._without_hosts(fault, range(len(self.sandbox_client.hosts)))
            case Kind.TELEGRAM_AWAY | Kind.TELEGRAM_TROUBLED:
                return self._without_telegram(fault)
            case _:
                assert_never(fault.kind)

    @asynccontextmanager
    async def _without_worker(self, fault: ScheduledFault) -> AsyncIterator[None]:
        if fault.kind is Kind.WORKER_KILLED:
            self.worker_group.kill(fault.target)
            yield
            self.worker_group.start(fault.target)
        elif fault.kind is Kind.WORKER_FROZEN:
            self.worker_group.freeze(fault.target)
            yield
            self.worker_group.thaw(fault.target)
        else:
            self.worker_group.replace(fault.target)
            yield

    @asynccontextmanager
    async def _flushed(self) -> AsyncIterator[None]:
        async with Redis.from_url(self.valkey.url, socket_timeout=10) as redis:
            await redis.flushall()
        yield

    @asynccontextmanager
    async def _without_hosts(
        self, fault: ScheduledFault, targets: Sequence[int]
    ) -> AsyncIterator[None]:
        actions = {Kind.HOST_FROZEN: ("freeze", "thaw"), Kind.HOST_FAULTY: ("fault", None)}
        break_it, heal_it = actions.get(fault.kind, ("kill", "heal"))
        for number in targets:
            await self.sandbox_client.do(f"hosts/{number}", break_it, fault.detail)
        yield
        for number in targets if heal_it else ():
            await self.sandbox_client.do(f"hosts/{number}", str(heal_it))

    @asynccontextmanager
    async def _without_telegram(self, fault: ScheduledFault) -> AsyncIterator[None]:
        if fault.kind is Kind.TELEGRAM_TROUBLED:
            await self.sandbox_client.do("telegram", "trouble", fault.detail)
            yield
        else:
            await self.sandbox_client.do("telegram", "away")
            yield
            await self.sandbox_client.do("telegram", "back")


@asynccontextmanager
async def _without(server: Server, fault: ScheduledFault) -> AsyncIterator[None]:
    """Stop, kill or freeze a server, and start or thaw it again."""
    if fault.kind in {Kind.REDIS_FROZEN, Kind.POSTGRES_FROZEN}:
        server.freeze()
        yield
        server.thaw()
        return
    await asyncio.to_thread(server.kill if fault.kind is Kind.POSTGRES_KILLED else server.stop)
    yield
    # In this thread, the main one, or the server would end with that thread.
    server.start()
