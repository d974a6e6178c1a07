"""Injects faults at their time, heals them, and records when."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import assert_never

from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.server import Server
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.benchmarks.chaos import clock, postgres_faults, redis_faults
from tests.benchmarks.chaos.evidence import InjectedFault
from tests.benchmarks.chaos.fault import ChaosFaultKind, ScheduledFault
from tests.benchmarks.chaos.sandbox_client import SandboxClient
from tests.benchmarks.chaos.store_faults import StoreDisk
from tests.benchmarks.chaos.workers import WorkerGroup

# How much longer than planned a fault may take, with its beginning and its end.
_SLOWNESS_S = 40.0


@dataclass(frozen=True, kw_only=True)
class FaultInjector:
    """Everything that it can break; `injected` is the record of what it did."""

    worker_group: WorkerGroup
    valkey: ValkeyServer
    postgres: PostgresServer
    sandbox_client: SandboxClient
    store: StoreDisk
    injected: list[InjectedFault] = field(default_factory=list)

    def why_not(self, kind: ChaosFaultKind) -> str | None:
        """Return why faults of this kind cannot be injected on this machine, None if they can."""
        match kind:
            case ChaosFaultKind.STORE_FULL | ChaosFaultKind.STORE_READ_ONLY:
                return self.store.cannot_mount
            case ChaosFaultKind.WORKER_CLOCK_WRONG:
                return clock.why_not()
        return None

    async def run(self, faults: Sequence[ScheduledFault]) -> None:
        """Inject each fault at its time; return when the last one is healed."""
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                group.create_task(self._inject_in_time(fault, started), name=str(fault))

    async def _inject_in_time(self, fault: ScheduledFault, started: float) -> None:
        await asyncio.sleep(fault.at_s - (time.monotonic() - started))
        await self.inject(fault)

    async def inject(self, fault: ScheduledFault) -> None:
        """Inject a fault now, and return when it is healed.

        Raises:
            TimeoutError: that takes 40 s longer than planned.
        """
        began = time.time()
        try:
            async with asyncio.timeout(fault.lasts_s + _SLOWNESS_S), self._broken(fault):
                await asyncio.sleep(fault.lasts_s)
        except TimeoutError as error:
            raise TimeoutError(f"neither injected nor healed in time: {fault}") from error
        self.injected.append(
            InjectedFault(
                kind=fault.kind,
                what=str(fault),
                began=began,
                ended=time.time(),
                is_total=fault.is_total,
            )
        )

    def _broken(  # noqa: C901, PLR0912 (each kind has its line)
        self, fault: ScheduledFault
    ) -> AbstractAsyncContextManager[None]:
        match fault.kind:
            case (
                ChaosFaultKind.WORKER_KILLED
                | ChaosFaultKind.WORKER_FROZEN
                | ChaosFaultKind.WORKER_REPLACED
            ):
                return self._without_worker(fault)
            case ChaosFaultKind.WORKER_CLOCK_WRONG:
                return self._wrong_clock(fault)
            case ChaosFaultKind.WORKERS_KILLED_TWICE:
                return self._workers_killed_twice()
            case ChaosFaultKind.REDIS_STOPPED | ChaosFaultKind.REDIS_FROZEN:
                return _without(self.valkey, fault)
            case ChaosFaultKind.REDIS_FLUSHED:
                return redis_faults.flushed(self.valkey.url)
            case ChaosFaultKind.REDIS_REFUSES_WRITES:
                return redis_faults.refusing_writes(self.valkey.url)
            case ChaosFaultKind.REDIS_LOSES_KEYS:
                return redis_faults.losing_keys(self.valkey.url, seed=str(fault))
            case ChaosFaultKind.POSTGRES_STOPPED | ChaosFaultKind.POSTGRES_KILLED:
                return self._without_postgres(fault)
            case ChaosFaultKind.POSTGRES_FROZEN:
                return _without(self.postgres, fault)
            case ChaosFaultKind.POSTGRES_READ_ONLY:
                return postgres_faults.read_only(self.postgres.url)
            case ChaosFaultKind.POSTGRES_SESSIONS_READ_ONLY:
                return postgres_faults.sessions_stay_read_only(self.postgres.url)
            case ChaosFaultKind.POSTGRES_CONNECTIONS_DEAD:
                return self._network_fault("database", "abandon_connections")
            case (
                ChaosFaultKind.HOST_KILLED
                | ChaosFaultKind.HOST_FROZEN
                | ChaosFaultKind.HOST_FROZEN_LONG
                | ChaosFaultKind.HOST_FAULTY
            ):
                return self._without_hosts(fault, [fault.target])
            case ChaosFaultKind.ALL_HOSTS_KILLED:
                return self._without_hosts(fault, range(len(self.sandbox_client.hosts)))
            case ChaosFaultKind.TELEGRAM_AWAY:
                return self._network_fault("telegram", "refuse", "listen")
            case ChaosFaultKind.TELEGRAM_DROPS_PACKETS:
                return self._network_fault("telegram", "drop", "listen")
            case ChaosFaultKind.TELEGRAM_TROUBLED:
                return self._troubled_telegram(fault)
            case ChaosFaultKind.STORE_FULL:
                return self.store.full()
            case ChaosFaultKind.STORE_READ_ONLY:
                return self.store.read_only()
            case ChaosFaultKind.STORE_MISSING:
                return self.store.missing()
            case _:
                assert_never(fault.kind)

    @asynccontextmanager
    async def _without_worker(self, fault: ScheduledFault) -> AsyncIterator[None]:
        if fault.kind is ChaosFaultKind.WORKER_KILLED:
            self.worker_group.kill(fault.target)
            yield
            self.worker_group.start(fault.target)
        elif fault.kind is ChaosFaultKind.WORKER_FROZEN:
            self.worker_group.freeze(fault.target)
            yield
            self.worker_group.thaw(fault.target)
        else:
            self.worker_group.replace(fault.target)
            yield

    @asynccontextmanager
    async def _wrong_clock(self, fault: ScheduledFault) -> AsyncIterator[None]:
        self.worker_group.replace(fault.target, clock_offset_s=int(fault.detail))
        yield
        self.worker_group.replace(fault.target)

    @asynccontextmanager
    async def _workers_killed_twice(self) -> AsyncIterator[None]:
        """Kill all workers before the block and after it: their jobs die twice in a row."""
        self._kill_and_start_workers()
        yield
        self._kill_and_start_workers()

    def _kill_and_start_workers(self) -> None:
        for number in self.worker_group.numbers:
            self.worker_group.kill(number)
        for number in self.worker_group.numbers:
            self.worker_group.start(number)

    @asynccontextmanager
    async def _without_postgres(self, fault: ScheduledFault) -> AsyncIterator[None]:
        """Stop or kill PostgreSQL, and let the proxy before it refuse connections as it does."""
        async with _without(self.postgres, fault), self._network_fault("database", "refuse"):
            yield
        await self.sandbox_client.do("network/database", "listen")

    @asynccontextmanager
    async def _without_hosts(
        self, fault: ScheduledFault, targets: Sequence[int]
    ) -> AsyncIterator[None]:
        frozen = ("freeze", "thaw")
        actions = {
            ChaosFaultKind.HOST_FROZEN: frozen,
            ChaosFaultKind.HOST_FROZEN_LONG: frozen,
            ChaosFaultKind.HOST_FAULTY: ("fault", None),
        }
        break_it, heal_it = actions.get(fault.kind, ("kill", "heal"))
        for number in targets:
            await self.sandbox_client.do(f"hosts/{number}", break_it, fault.detail)
        yield
        for number in targets if heal_it else ():
            await self.sandbox_client.do(f"hosts/{number}", str(heal_it))

    @asynccontextmanager
    async def _network_fault(
        self, server: str, break_it: str, heal_it: str | None = None
    ) -> AsyncIterator[None]:
        await self.sandbox_client.do(f"network/{server}", break_it)
        yield
        if heal_it is not None:
            await self.sandbox_client.do(f"network/{server}", heal_it)

    @asynccontextmanager
    async def _troubled_telegram(self, fault: ScheduledFault) -> AsyncIterator[None]:
        await self.sandbox_client.do("telegram", "trouble", fault.detail)
        yield


@asynccontextmanager
async def _without(server: Server, fault: ScheduledFault) -> AsyncIterator[None]:
    """Stop, kill or freeze a server, and start or thaw it again."""
    if fault.kind in {ChaosFaultKind.REDIS_FROZEN, ChaosFaultKind.POSTGRES_FROZEN}:
        server.freeze()
        yield
        server.thaw()
        return
    await asyncio.to_thread(
        server.kill if fault.kind is ChaosFaultKind.POSTGRES_KILLED else server.stop
    )
    yield
    # In this thread, the main one, or the server would end with that thread.
    server.start()
