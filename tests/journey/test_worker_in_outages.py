"""The worker while Redis or PostgreSQL restarts, crashes or freezes: it stays, and so do requests."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatflow_hook.tables import State
from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.server import Server
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.support import worker_process
from tests.support.patience import PATIENCE_S
from tests.support.paused_comfyui import StepGate
from tests.support.product import ProductFactory
from tests.support.worker_process import WorkerProcess

# A request may have to wait until the relay finds that its arq job was lost.
LONG_S = 40.0


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def redis_url(valkey: ValkeyServer) -> str:
    return valkey.url


@pytest.fixture
def database_url(postgres: PostgresServer) -> str:
    return postgres.url


def restart(server: Server) -> None:
    server.restart()


def crash(server: Server) -> None:
    server.kill()
    server.start()


@pytest.fixture(params=[restart, crash])
def break_down(request: pytest.FixtureRequest) -> Callable[[Server], None]:
    way: Callable[[Server], None] = request.param
    return way


async def outlives(
    products: ProductFactory, home: Path, server: Server, break_down: Callable[[Server], None]
) -> tuple[list[State], WorkerProcess]:
    """Break a server down under an idle worker, then while it draws; say how two requests ended."""
    async with products.start(works=False, seconds_per_picture=1.0) as product:
        variables = worker_process.environment(product.settings)
        async with worker_process.running(home, variables) as worker:
            break_down(server)
            first = await product.hook.wait(await product.ask(dialog_id=1), timeout=LONG_S)

            request = await product.ask(dialog_id=2)
            await worker.wait_until(lambda: len(product.hosts[0].posted) == 2, timeout_s=PATIENCE_S)
            break_down(server)
            second = await product.hook.wait(request, timeout=LONG_S)

            assert worker.is_running
            assert await worker.stop() == 0
            assert "marmalade" not in worker.output
    return [first.state, second.state], worker


async def test_a_worker_outlives_redis(
    products: ProductFactory,
    valkey: ValkeyServer,
    break_down: Callable[[Server], None],
    tmp_path: Path,
) -> None:
    states, worker = await outlives(products, tmp_path / "home", valkey, break_down)

    assert states == [State.DELIVERED, State.DELIVERED]
    assert "Traceback" not in worker.output


async def test_a_worker_outlives_postgresql(
    products: ProductFactory,
    postgres: PostgresServer,
    break_down: Callable[[Server], None],
    tmp_path: Path,
) -> None:
    states, worker = await outlives(products, tmp_path / "home", postgres, break_down)

    assert states == [State.DELIVERED, State.DELIVERED]
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("seconds", [1.0, 7.0], ids=["shorter", "longer"])
async def test_a_frozen_redis_holds_no_picture_up(
    products: ProductFactory, valkey: ValkeyServer, tmp_path: Path, seconds: float
) -> None:
    """Freeze it for less and for more than a socket's timeout, which is 5 s."""
    gate = StepGate()
    async with products.start(works=False, sleep=gate.sleep) as product:
        variables = worker_process.environment(product.settings)
        async with worker_process.running(tmp_path / "home", variables) as worker:
            await product.ask(dialog_id=1)
            await worker.wait_until(lambda: product.hosts[0].posted, timeout_s=PATIENCE_S)
            valkey.freeze()
            ends = time.monotonic() + seconds
            await worker.wait_until(lambda: time.monotonic() > ends, timeout_s=PATIENCE_S)
            gate.release_all()
            sent = await product.telegram.wait_for(1, timeout=PATIENCE_S)
            valkey.thaw()
            second = await product.hook.wait(await product.ask(dialog_id=2), timeout=LONG_S)

            assert (len(sent), second.state) == (1, State.DELIVERED)
            assert await worker.stop() == 0
            assert len(product.telegram.sent) == 2
