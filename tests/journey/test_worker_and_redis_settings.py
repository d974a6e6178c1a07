"""Workers whose Redis is away, speaks TLS, or gives them few rights: what they log, and that they work."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from chatflow_hook.tables import State
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.support import tls, worker_process
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory
from tests.support.worker_process import ARQ, IMAGEGEN, WorkerProcess

PASSWORD = "hush-redis"
SETTINGS_PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer(password=PASSWORD) as server:
        yield server


@pytest.fixture
def products(
    database_url: str, valkey: ValkeyServer, sessions: Sessions, tmp_path: Path
) -> ProductFactory:
    return ProductFactory(database_url, valkey.url, sessions, tmp_path / "images")


def outages(worker: WorkerProcess) -> list[str]:
    """Return all reasons for which it said that Redis cannot be used; each line must be JSON."""
    assert [line for line in worker.output.splitlines() if not line.startswith("{")] == []
    assert len({line["worker"] for line in worker.events}) == 1
    assert "hush" not in worker.output
    return [line["why"] for line in worker.events if line["event"] == "redis cannot be used"]


@pytest.mark.parametrize("command", [ARQ, IMAGEGEN])
async def test_a_redis_that_is_away_at_the_start_is_told_once_and_then_counted(
    products: ProductFactory, valkey: ValkeyServer, tmp_path: Path, command: tuple[str, ...]
) -> None:
    async with products.start(works=False) as product:
        variables = worker_process.environment(product.settings)
        valkey.stop()
        async with worker_process.running(
            tmp_path / "home", variables, command=command, says="redis cannot be used"
        ) as worker:
            valkey.start()
            await worker.wait_for_log("worker ready")
            assert await worker.stop() == 0

    [why] = outages(worker)
    assert why.startswith(
        f"redis://127.0.0.1:{valkey.port} refuses the connection: nothing listens"
    )


async def test_a_user_without_a_right_is_an_outage_with_a_name_until_the_right_is_given(
    products: ProductFactory, valkey: ValkeyServer, tmp_path: Path
) -> None:
    async with products.start(works=False) as product, Redis.from_url(valkey.url) as admin:
        await acl(admin, "on", f">{PASSWORD}", "~*", "&*", "+@all", "-info")
        variables = worker_process.environment(product.settings, REDIS_URL=as_bot(valkey))
        async with worker_process.running(
            tmp_path / "home", variables, says="redis cannot be used"
        ) as worker:
            await acl(admin, "+info")
            await worker.wait_for_log("worker ready")
            assert await worker.stop() == 0

    assert outages(worker) == [
        f"redis://127.0.0.1:{valkey.port} does not let 'bot' use INFO: see docs/settings.md"
    ]


async def test_the_documented_rights_suffice(
    products: ProductFactory, valkey: ValkeyServer, tmp_path: Path
) -> None:
    documented = re.search(r"ACL SETUSER chatflow (.+)", SETTINGS_PAGE.read_text())
    assert documented is not None
    rights = documented[1].replace("s3cret", PASSWORD).split()
    async with (
        products.start(works=False, workers_share_hosts=True) as product,
        Redis.from_url(valkey.url) as admin,
    ):
        await acl(admin, *rights)
        variables = worker_process.environment(
            product.settings, REDIS_URL=as_bot(valkey), WORKERS_SHARE_HOSTS="true"
        )
        async with worker_process.running(tmp_path / "home", variables) as worker:
            assert (await product.picture()).state is State.DELIVERED
            assert await worker.stop() == 0
        refused: Any = await admin.execute_command("ACL", "LOG")

    assert (refused, outages(worker)) == ([], [])


async def test_a_worker_and_arqs_check_use_the_tls_options_of_the_address(
    products: ProductFactory, valkey: ValkeyServer, tmp_path: Path
) -> None:
    certificate = tls.make_certificate(tmp_path)
    async with (
        products.start(works=False) as product,
        tls.terminated(valkey.port, certificate) as port,
    ):
        url = f"rediss://:{PASSWORD}@127.0.0.1:{port}"
        trusting = worker_process.environment(
            product.settings, REDIS_URL=f"{url}?ssl_ca_certs={certificate.certificate}"
        )
        async with (
            worker_process.running(tmp_path / "home", trusting) as worker,
            worker_process.running(
                tmp_path / "check", trusting, command=(*ARQ, "--check"), says="Health check"
            ) as check,
        ):
            assert (await product.picture()).state is State.DELIVERED
            assert await check.wait(timeout_s=PATIENCE_S) == 0
            assert await worker.stop() == 0

        async with worker_process.running(
            tmp_path / "other",
            trusting | {"REDIS_URL": url},
            says="redis cannot be used",
        ) as untrusting:
            [why] = outages(untrusting)

    assert "Health check successful" in check.events[0]["event"]
    assert f"rediss://127.0.0.1:{port} has a certificate that is not trusted" in why
    # On a machine that has much else to do a handshake may take too long, and is made again.
    assert [each for each in outages(worker) if "does not answer in time" not in each] == []


async def acl(admin: "Redis", *rights: str) -> None:
    await admin.execute_command("ACL", "SETUSER", "bot", *rights)  # type: ignore[no-untyped-call]


def as_bot(valkey: ValkeyServer) -> str:
    return f"redis://bot:{PASSWORD}@127.0.0.1:{valkey.port}"
