"""Redis or PostgreSQL goes away for a while: the worker stays and the pictures come."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chatflow_hook.tables import State
from imagegen import database, migrations
from imagegen.sandbox.postgres import PostgresServer
from imagegen.sandbox.server import Server
from imagegen.sandbox.valkey import ValkeyServer
from tests import worker_process
from tests.stage import PATIENCE_S, Stages

AWAY_S = 3.0


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    server.stop()
    yield
    server.start()


@contextmanager
def killed(server: Server) -> Iterator[None]:
    server.kill()
    yield
    server.start()


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    server.freeze()
    yield
    server.thaw()


OUTAGES = pytest.mark.parametrize("outage", [stopped, killed, frozen])
Outage = Callable[[Server], "contextmanager[None]"]


@OUTAGES
async def test_a_worker_outlives_its_redis(
    outage: Outage, database_url: str, tmp_path: Path
) -> None:
    engine = database.connect(database_url)
    with ValkeyServer(password="p w!#%ы") as valkey:
        stages = Stages(database_url, valkey.url, database.sessions(engine), tmp_path / "images")
        async with stages.set(works=False, seconds_per_picture=1.0) as stage:
            variables = worker_process.environment(stage.settings)
            async with worker_process.running(tmp_path / "home", variables) as worker:
                idle = await stage.picture(dialog_id=1)
                request = await stage.ask(dialog_id=2)
                await worker.until(lambda: len(stage.hosts[0].posted) == 2, timeout_s=PATIENCE_S)
                with outage(valkey):
                    ends = time.monotonic() + AWAY_S
                    await worker.until(lambda: time.monotonic() > ends, timeout_s=PATIENCE_S)
                    written = await stage.ask(dialog_id=3)
                busy = await stage.hook.wait(request, timeout=PATIENCE_S)
                unheard = await stage.hook.wait(written, timeout=PATIENCE_S)

                assert [idle.state, busy.state, unheard.state] == [State.DELIVERED] * 3
                assert worker.is_running
        assert len(stage.telegram.sent) == 3
    await engine.dispose()


@OUTAGES
async def test_a_worker_outlives_its_postgresql(
    outage: Outage, redis_url: str, tmp_path: Path
) -> None:
    with PostgresServer() as postgres:
        await asyncio.to_thread(migrations.upgrade, postgres.url)
        engine = database.connect(postgres.url)
        stages = Stages(postgres.url, redis_url, database.sessions(engine), tmp_path / "images")
        async with stages.set(works=False, seconds_per_picture=1.0) as stage:
            variables = worker_process.environment(stage.settings)
            async with worker_process.running(tmp_path / "home", variables) as worker:
                request = await stage.ask(dialog_id=1)
                await worker.until(lambda: stage.hosts[0].posted, timeout_s=PATIENCE_S)
                with outage(postgres):
                    ends = time.monotonic() + AWAY_S
                    await worker.until(lambda: time.monotonic() > ends, timeout_s=PATIENCE_S)
                busy = await stage.hook.wait(request, timeout=2 * PATIENCE_S)
                after = await stage.picture(dialog_id=2)

                assert [busy.state, after.state] == [State.DELIVERED] * 2
                assert worker.is_running
        await engine.dispose()
