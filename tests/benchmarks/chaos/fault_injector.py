"""The monkey: breaks things at their time, heals them, and notes when."""

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
from tests.benchmarks.chaos.evidence import Struck
from tests.benchmarks.chaos.fault import Blow, Kind
from tests.benchmarks.chaos.sandbox_client import Fairground
from tests.benchmarks.chaos.workers import Crew


@dataclass(frozen=True, kw_only=True)
class Monkey:
    """All that it can reach; `struck` is what it did."""

    crew: Crew
    valkey: ValkeyServer
    postgres: PostgresServer
    fairground: Fairground
    struck: list[Struck] = field(default_factory=list)

    async def rage(self, blows: Sequence[Blow]) -> None:
        """Strike each blow at its time; return when the last one is healed."""
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for blow in blows:
                group.create_task(self._strike(blow, started), name=str(blow))

    async def _strike(self, blow: Blow, started: float) -> None:
        await asyncio.sleep(blow.at_s - (time.monotonic() - started))
        began = time.time()
        async with self._broken(blow):
            await asyncio.sleep(blow.lasts_s)
        self.struck.append(
            Struck(what=str(blow), began=began, ended=time.time(), is_total=blow.is_total)
        )

    def _broken(self, blow: Blow) -> AbstractAsyncContextManager[None]:
        match blow.kind:
            case Kind.WORKER_KILLED | Kind.WORKER_FROZEN | Kind.WORKER_REPLACED:
                return self._without_worker(blow)
            case Kind.REDIS_STOPPED | Kind.REDIS_FROZEN:
                return _without(self.valkey, blow)
            case Kind.POSTGRES_STOPPED | Kind.POSTGRES_KILLED | Kind.POSTGRES_FROZEN:
                return _without(self.postgres, blow)
            case Kind.REDIS_FLUSHED:
                return self._flushed()
            case Kind.HOST_KILLED | Kind.HOST_FROZEN | Kind.HOST_FAULTY:
                return self._without_hosts(blow, [blow.target])
            case Kind.ALL_HOSTS_KILLED:
                return self._without_hosts(blow, range(len(self.fairground.hosts)))
            case Kind.TELEGRAM_AWAY | Kind.TELEGRAM_TROUBLED:
                return self._without_telegram(blow)
            case _:
                assert_never(blow.kind)

    @asynccontextmanager
    async def _without_worker(self, blow: Blow) -> AsyncIterator[None]:
        if blow.kind is Kind.WORKER_KILLED:
            self.crew.kill(blow.target)
            yield
            self.crew.begin(blow.target)
        elif blow.kind is Kind.WORKER_FROZEN:
            self.crew.freeze(blow.target)
            yield
            self.crew.thaw(blow.target)
        else:
            self.crew.replace(blow.target)
            yield

    @asynccontextmanager
    async def _flushed(self) -> AsyncIterator[None]:
        async with Redis.from_url(self.valkey.url, socket_timeout=10) as redis:
            await redis.flushall()
        yield

    @asynccontextmanager
    async def _without_hosts(self, blow: Blow, targets: Sequence[int]) -> AsyncIterator[None]:
        deeds = {Kind.HOST_FROZEN: ("freeze", "thaw"), Kind.HOST_FAULTY: ("fault", None)}
        break_it, heal_it = deeds.get(blow.kind, ("kill", "heal"))
        for number in targets:
            await self.fairground.do(f"hosts/{number}", break_it, blow.detail)
        yield
        for number in targets if heal_it else ():
            await self.fairground.do(f"hosts/{number}", str(heal_it))

    @asynccontextmanager
    async def _without_telegram(self, blow: Blow) -> AsyncIterator[None]:
        if blow.kind is Kind.TELEGRAM_TROUBLED:
            await self.fairground.do("telegram", "trouble", blow.detail)
            yield
        else:
            await self.fairground.do("telegram", "away")
            yield
            await self.fairground.do("telegram", "back")


@asynccontextmanager
async def _without(server: Server, blow: Blow) -> AsyncIterator[None]:
    """Stop, kill or freeze a server, and start or thaw it again."""
    if blow.kind in {Kind.REDIS_FROZEN, Kind.POSTGRES_FROZEN}:
        server.freeze()
        yield
        server.thaw()
        return
    await asyncio.to_thread(server.kill if blow.kind is Kind.POSTGRES_KILLED else server.stop)
    yield
    # In this thread, the main one, or the server would end with that thread.
    server.start()
