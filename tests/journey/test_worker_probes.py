"""The health endpoints of a worker while its servers stop, crash, freeze and come back."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chatflow_hook.tables import State
from imagegen.db import migrations
from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.server import Server
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.support import worker_process
from tests.support.conversations import Sessions
from tests.support.http_probe import Prober
from tests.support.patience import PATIENCE_S
from tests.support.paused_comfyui import StepGate
from tests.support.ports import free_port
from tests.support.product import ProductFactory
from tests.support.worker_process import IMAGEGEN

NOTICED_S = 10.0
BACK_S = 20.0


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


def stop(server: Server) -> Callable[[], None]:
    server.stop()
    return server.start


def crash(server: Server) -> Callable[[], None]:
    server.kill()
    return server.start


def freeze(server: Server) -> Callable[[], None]:
    server.freeze()
    return server.thaw


async def comes_and_goes(products: ProductFactory, home: Path, server: Server, name: str) -> str:
    """Break a server down in each way under one worker, and return all that was answered."""
    port, answers = free_port(), []
    async with products.start(works=False) as product:
        variables = worker_process.environment(product.settings, WEB_PORT=str(port))
        async with worker_process.running(home, variables) as worker:
            prober = Prober(port)
            await prober.until_missing(timeout_s=NOTICED_S)
            for break_down in (stop, crash, freeze):
                mend = break_down(server)
                answer = await prober.until_missing(name, timeout_s=NOTICED_S)
                alive = await prober.get("/healthz")
                assert (answer.status, alive.status) == (503, 200)
                answers.append(str(answer.body))
                mend()
                assert (await prober.until_missing(timeout_s=BACK_S)).status == 200

            picture = await product.picture()
            assert (picture.state, worker.is_running) == (State.DELIVERED, True)
    return " ".join(answers)


@pytest.mark.timeout(120)
async def test_redis_comes_and_goes(
    database_url: str, sessions: Sessions, valkey: ValkeyServer, tmp_path: Path
) -> None:
    products = ProductFactory(database_url, valkey.url, sessions, tmp_path / "images")

    said = await comes_and_goes(products, tmp_path / "home", valkey, "redis")

    assert str(urlsplit(valkey.url).password) not in said


@pytest.mark.timeout(120)
async def test_postgresql_comes_and_goes(
    redis_url: str, postgres: PostgresServer, sessions: Sessions, tmp_path: Path
) -> None:
    products = ProductFactory(postgres.url, redis_url, sessions, tmp_path / "images")

    said = await comes_and_goes(products, tmp_path / "home", postgres, "postgresql")

    assert str(urlsplit(postgres.url).password) not in said


async def test_a_worker_starts_and_lives_while_postgresql_telegram_and_hosts_are_away(
    redis_url: str, sessions: Sessions, tmp_path: Path
) -> None:
    nowhere = "postgresql://bot:s3cret@127.0.0.1:1/chatflow"
    port, products = free_port(), ProductFactory(nowhere, redis_url, sessions, tmp_path / "images")
    async with products.start(works=False) as product:
        variables = worker_process.environment(
            product.settings,
            WEB_PORT=str(port),
            TELEGRAM_API_URL="http://127.0.0.1:1",
            COMFYUI_HOSTS="127.0.0.1:1",
        )
        async with worker_process.running(tmp_path / "home", variables) as worker:
            prober = Prober(port)
            answer = await prober.until_missing(
                "postgresql", "telegram", "hosts", timeout_s=NOTICED_S
            )

            assert (await prober.get("/healthz")).status == 200
            assert "s3cret" not in str(answer.body) + worker.output
            assert product.settings.telegram_bot_token.get_secret_value() not in str(answer.body)
            assert await worker.stop() == 0


async def test_a_worker_waits_for_the_migration_and_begins_to_work_after_it(
    empty_database_url: str, redis_url: str, sessions: Sessions, tmp_path: Path
) -> None:
    port = free_port()
    products = ProductFactory(empty_database_url, redis_url, sessions, tmp_path / "images")
    async with products.start(works=False) as product:
        variables = worker_process.environment(product.settings, WEB_PORT=str(port))
        async with worker_process.running(tmp_path / "home", variables) as worker:
            answer = await Prober(port).until_missing("postgresql", timeout_s=NOTICED_S)
            await worker.wait_for_log("database not ready")
            assert "imagegen migrate" in answer.body["missing"]["postgresql"]
            assert "Traceback" not in worker.output

            await asyncio.to_thread(migrations.upgrade, empty_database_url)

            await worker.wait_for_log("database ready")
            await Prober(port).until_missing(timeout_s=NOTICED_S)
            assert (await product.picture()).state is State.DELIVERED


async def test_a_worker_that_stops_lives_and_is_not_ready(
    products: ProductFactory, tmp_path: Path
) -> None:
    port = free_port()
    gate = StepGate()
    async with products.start(works=False, sleep=gate.sleep) as product:
        variables = worker_process.environment(product.settings, WEB_PORT=str(port))
        await product.ask()
        async with worker_process.running(tmp_path / "home", variables, command=IMAGEGEN) as worker:
            await worker.wait_until(lambda: product.hosts[0].posted, timeout_s=PATIENCE_S)
            worker.ask_to_stop()
            await worker.wait_for_log("worker stops")
            ready, alive = await Prober(port).get("/readyz"), await Prober(port).get("/healthz")
            gate.release_all()
            code = await worker.wait(timeout_s=PATIENCE_S)

    assert (ready.status, ready.body["stopping"], alive.status) == (503, True, 200)
    assert code == 0


async def test_a_worker_whose_port_is_taken_says_so_and_works(
    products: ProductFactory, tmp_path: Path
) -> None:
    port = free_port()
    async with products.start(works=False) as product:
        variables = worker_process.environment(product.settings, WEB_PORT=str(port))
        async with (
            worker_process.running(tmp_path / "one", variables) as first,
            worker_process.running(tmp_path / "two", variables) as second,
        ):
            assert (await product.picture()).state is State.DELIVERED
            assert "no probes" not in first.output
            assert "no probes" in second.output


async def test_a_worker_that_waits_for_redis_at_its_start_lives_and_says_so(
    database_url: str, sessions: Sessions, valkey: ValkeyServer, tmp_path: Path
) -> None:
    port, products = (
        free_port(),
        ProductFactory(database_url, valkey.url, sessions, tmp_path / "images"),
    )
    async with products.start(works=False) as product:
        variables = worker_process.environment(product.settings, WEB_PORT=str(port))
        valkey.freeze()
        async with worker_process.running(
            tmp_path / "home", variables, command=IMAGEGEN, says="does not answer in time"
        ) as worker:
            await Prober(port).until_missing("redis", timeout_s=NOTICED_S)
            assert (await Prober(port).get("/healthz")).status == 200

            valkey.thaw()

            await worker.wait_for_log("worker ready")
            await Prober(port).until_missing(timeout_s=NOTICED_S)
