"""A worker that is asked to stop: what it finishes, what it leaves to the next, and how soon."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from redis.asyncio import Redis

from chatflow_hook.tables import ImageRequest, State
from imagegen.db import migrations
from imagegen.db.engine import connect
from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.support import conversations, worker_process
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.paused_comfyui import StepGate
from tests.support.product import ProductFactory, RunningProduct
from tests.support.worker_process import ARQ, IMAGEGEN, WorkerProcess

# What the worker takes to put things away when it can't reach what it needs for that, and a bit.
GIVES_UP_S = 9.0
LONG_S = 40.0


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


async def is_drawing(product: RunningProduct, worker: WorkerProcess) -> None:
    await worker.wait_until(lambda: product.hosts[0].posted, timeout_s=PATIENCE_S)


async def are_taken(redis_url: str, jobs: int) -> None:
    async with Redis.from_url(redis_url, db=3) as redis, asyncio.timeout(PATIENCE_S):
        while len(await redis.keys("arq:in-progress:*")) < jobs:
            pass


async def row(product: RunningProduct, request_id: UUID) -> ImageRequest:
    async with product.sessions() as session:
        return await session.get_one(ImageRequest, request_id)


async def is_drawn_once_by_the_next(
    product: RunningProduct, home: Path, request_id: UUID, gate: StepGate
) -> None:
    """Look at what a stopped worker has left, and at what the next makes of it."""
    left = await row(product, request_id)
    assert (left.state, left.claim, left.attempts) == (State.DRAWING, None, 0)
    assert product.telegram.sent == []

    variables = worker_process.environment(product.settings)
    async with worker_process.running(home, variables) as worker:
        async with asyncio.timeout(PATIENCE_S):
            while (await row(product, request_id)).claim is None:
                pass
        gate.release_all()
        await product.telegram.wait_for(1, timeout=PATIENCE_S)
        await worker.wait_for_log("prompt taken up")
        assert "prompt taken up" in worker.events_of(request_id)
    assert len(product.hosts[0].posted) == len(product.hosts[0].drawn) == 1
    assert len(product.telegram.sent) == 1


@pytest.mark.timeout(120)
async def test_what_runs_is_ended_and_what_waits_is_taken_by_another_meanwhile(
    products: ProductFactory, redis_url: str, tmp_path: Path
) -> None:
    gate = StepGate()
    async with products.start(
        works=False, hosts=2, comfyui_slots_per_host=1, sleep=gate.sleep
    ) as product:
        variables = worker_process.environment(product.settings, COMFYUI_SLOTS_PER_HOST="1")
        async with (
            worker_process.running(tmp_path / "second", variables) as second,
            worker_process.running(tmp_path / "first", variables) as first,
        ):
            # It stands by, ready however slow the machine is, and takes nothing before its time.
            second.ask_to_stop(signal.SIGSTOP)
            await second.wait_until_stopped(timeout_s=PATIENCE_S)
            requests = [
                await product.ask(dialog_id=number, chat_id=number) for number in range(1, 6)
            ]
            await are_taken(redis_url, 5)
            await first.wait_until(
                lambda: all(each.posted for each in product.hosts), timeout_s=LONG_S
            )
            ids = [request.id for request in requests]
            running = [each for each in ids if "using host" in first.events_of(each)]
            waiting = [each for each in ids if each not in running]

            second.ask_to_stop(signal.SIGCONT)
            first.ask_to_stop()
            await second.wait_until(
                lambda: any("using host" in second.events_of(each) for each in waiting),
                timeout_s=PATIENCE_S,
            )
            assert first.is_running
            gate.release_all()
            assert await first.wait(timeout_s=PATIENCE_S) == 0
            await product.telegram.wait_for(5, timeout=LONG_S)

        assert (len(running), len(waiting)) == (2, 3)
        assert all("picture delivered" in first.events_of(each) for each in running)
        assert not any("using host" in first.events_of(each) for each in waiting)
        assert "Traceback" not in first.output + second.output
        assert sum(len(host.posted) for host in product.hosts) == 5
        assert len(product.telegram.sent) == 5


@pytest.mark.parametrize("command", [ARQ, IMAGEGEN], ids=["arq", "imagegen"])
async def test_what_outlasts_the_grace_is_left_on_its_host_for_the_next(
    products: ProductFactory, tmp_path: Path, command: tuple[str, ...]
) -> None:
    gate = StepGate()
    async with products.start(works=False, sleep=gate.sleep, stop_grace=0.5) as product:
        variables = worker_process.environment(product.settings)
        request = await product.ask()
        async with worker_process.running(tmp_path / "one", variables, command=command) as first:
            await is_drawing(product, first)
            assert await first.stop() == 0
        assert "Traceback" not in first.output
        assert first.events[-1]["event"] == "worker stopped"

        await is_drawn_once_by_the_next(product, tmp_path / "two", request.id, gate)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_grace(
    products: ProductFactory, tmp_path: Path, number: signal.Signals
) -> None:
    gate = StepGate()
    async with products.start(works=False, sleep=gate.sleep, stop_grace=60) as product:
        variables = worker_process.environment(product.settings)
        request = await product.ask()
        async with worker_process.running(tmp_path / "one", variables) as first:
            await is_drawing(product, first)
            first.ask_to_stop(number)
            await first.wait_for_log("worker stops")
            assert await first.stop(number) == 0
        assert "Traceback" not in first.output

        await is_drawn_once_by_the_next(product, tmp_path / "two", request.id, gate)


@pytest.mark.parametrize("command", [ARQ, IMAGEGEN], ids=["arq", "imagegen"])
async def test_a_worker_that_waits_for_redis_at_its_start_can_be_stopped(
    database_url: str,
    sessions: Sessions,
    valkey: ValkeyServer,
    tmp_path: Path,
    command: tuple[str, ...],
) -> None:
    products = ProductFactory(database_url, valkey.url, sessions, tmp_path / "images")
    async with products.start(works=False) as product:
        variables = worker_process.environment(product.settings)
        valkey.freeze()
        async with worker_process.running(
            tmp_path / "home", variables, command=command, says="redis cannot be used"
        ) as worker:
            code = await worker.stop()

    assert code == 0
    assert "Traceback" not in worker.output


async def test_a_worker_stops_while_redis_is_frozen_and_loses_nothing(
    database_url: str, sessions: Sessions, valkey: ValkeyServer, tmp_path: Path
) -> None:
    products = ProductFactory(database_url, valkey.url, sessions, tmp_path / "images")
    gate = StepGate()
    async with products.start(works=False, sleep=gate.sleep, stop_grace=0.5) as product:
        variables = worker_process.environment(product.settings)
        request = await product.ask()
        async with worker_process.running(tmp_path / "one", variables) as first:
            await is_drawing(product, first)
            valkey.freeze()
            first.ask_to_stop()
            assert await first.wait(timeout_s=GIVES_UP_S) == 0
        assert "Traceback" not in first.output
        valkey.thaw()

        await is_drawn_once_by_the_next(product, tmp_path / "two", request.id, gate)


async def test_an_idle_worker_stops_while_redis_is_away(
    database_url: str, sessions: Sessions, valkey: ValkeyServer, tmp_path: Path
) -> None:
    products = ProductFactory(database_url, valkey.url, sessions, tmp_path / "images")
    async with products.start(works=False) as product:
        variables = worker_process.environment(product.settings)
        async with worker_process.running(tmp_path / "one", variables) as worker:
            valkey.stop()
            worker.ask_to_stop()
            code = await worker.wait(timeout_s=GIVES_UP_S)

    assert code == 0
    assert "Traceback" not in worker.output


async def test_a_worker_stops_while_postgresql_is_frozen_and_loses_nothing(
    redis_url: str, tmp_path: Path
) -> None:
    with PostgresServer() as postgres:
        await asyncio.to_thread(migrations.upgrade, postgres.url)
        unused = conversations.sessions_of(connect(postgres.url))
        products = ProductFactory(postgres.url, redis_url, unused, tmp_path / "images")
        gate = StepGate()
        async with products.start(works=False, sleep=gate.sleep, stop_grace=0.5) as product:
            variables = worker_process.environment(product.settings)
            await product.ask()
            async with worker_process.running(tmp_path / "one", variables) as first:
                await is_drawing(product, first)
                postgres.freeze()
                first.ask_to_stop()
                assert await first.wait(timeout_s=GIVES_UP_S) == 0
            assert "Traceback" not in first.output
            postgres.thaw()

            gate.release_all()
            async with worker_process.running(tmp_path / "two", variables):
                await product.telegram.wait_for(1, timeout=LONG_S)
            assert len(product.hosts[0].posted) == 1
