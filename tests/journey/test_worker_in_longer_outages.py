"""Redis or PostgreSQL is down for longer: requests made meanwhile are drawn afterwards."""

import asyncio
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from chatflow_hook.tables import State
from imagegen.db import migrations
from imagegen.db.engine import connect
from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.support import conversations, quick_recovery, worker_process
from tests.support.conversations import Sessions
from tests.support.http_probe import Prober
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.product import ProductFactory
from tests.support.worker_process import QUICK, WorkerProcess

AWAY_S = 3.0


async def for_a_while(worker: WorkerProcess, seconds: float = AWAY_S) -> None:
    ends = time.monotonic() + seconds
    await worker.wait_until(lambda: time.monotonic() > ends, timeout_s=PATIENCE_S)


async def test_a_request_written_while_redis_is_away_is_drawn_when_it_is_back(
    database_url: str, tmp_path: Path
) -> None:
    engine = connect(database_url)
    with ValkeyServer(password="p w!#%ы") as valkey:
        products = ProductFactory(
            database_url, valkey.url, conversations.sessions_of(engine), tmp_path / "images"
        )
        async with products.start(works=False, seconds_per_picture=1.0) as product:
            variables = worker_process.environment(product.settings)
            async with worker_process.running(tmp_path / "home", variables) as worker:
                idle = await product.picture(dialog_id=1)
                request = await product.ask(dialog_id=2)
                await worker.wait_until(
                    lambda: len(product.hosts[0].posted) == 2, timeout_s=PATIENCE_S
                )
                valkey.stop()
                await for_a_while(worker)
                written = await product.ask(dialog_id=3)
                valkey.start()
                busy = await product.hook.wait(request, timeout=PATIENCE_S)
                unheard = await product.hook.wait(written, timeout=PATIENCE_S)

                assert [idle.state, busy.state, unheard.state] == [State.DELIVERED] * 3
                assert worker.is_running
        assert len(product.telegram.sent) == 3
    await engine.dispose()


async def test_a_frozen_postgresql_holds_pictures_up_and_loses_none(
    redis_url: str, tmp_path: Path
) -> None:
    with PostgresServer() as postgres:
        await asyncio.to_thread(migrations.upgrade, postgres.url)
        engine = connect(postgres.url)
        products = ProductFactory(
            postgres.url, redis_url, conversations.sessions_of(engine), tmp_path / "images"
        )
        async with products.start(works=False, seconds_per_picture=1.0) as product:
            variables = worker_process.environment(product.settings)
            async with worker_process.running(tmp_path / "home", variables) as worker:
                request = await product.ask(dialog_id=1)
                await worker.wait_until(lambda: product.hosts[0].posted, timeout_s=PATIENCE_S)
                postgres.freeze()
                await for_a_while(worker)
                postgres.thaw()
                busy = await product.hook.wait(request, timeout=2 * PATIENCE_S)
                after = await product.picture(dialog_id=2)

                assert [busy.state, after.state] == [State.DELIVERED] * 2
                assert worker.is_running
        await engine.dispose()


@pytest.mark.parametrize(
    ("trouble", "cure", "reason"),
    [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "raise `maxmemory`"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "is a replica"),
        (
            "CONFIG SET min-replicas-to-write 1",
            "CONFIG SET min-replicas-to-write 0",
            "min-replicas-to-write",
        ),
    ],
    ids=["full", "a replica", "without replicas"],
)
async def test_a_redis_that_takes_no_writes_is_missing_and_does_not_end_the_worker(
    database_url: str, sessions: Sessions, tmp_path: Path, *, trouble: str, cure: str, reason: str
) -> None:
    port = free_port()
    with ValkeyServer() as valkey:
        products = ProductFactory(database_url, valkey.url, sessions, tmp_path / "images")
        async with (
            products.start(works=False) as product,
            Redis.from_url(valkey.url, db=3) as redis,
        ):
            variables = worker_process.environment(product.settings, WEB_PORT=str(port))
            async with worker_process.running(
                tmp_path / "home", variables, command=QUICK
            ) as worker:
                await redis.execute_command(*trouble.split())
                written = await product.ask(dialog_id=1)
                # Longer than arq lets its health key stand.
                await for_a_while(worker, seconds=3 * quick_recovery.TIMES.health_s)
                answer = await Prober(port).until_missing("redis", timeout_s=PATIENCE_S)
                await redis.execute_command(*cure.split())
                picture = await product.hook.wait(written, timeout=PATIENCE_S)

                assert picture.state is State.DELIVERED
                assert worker.is_running
                assert reason in answer.body["missing"]["redis"]
