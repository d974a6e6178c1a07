"""What became of a send is written down although PostgreSQL is away when it ends."""

import asyncio
import time

import pytest
from sqlalchemy import select

from chatflow_hook.tables import State
from imagegen.db.tables import Delivery
from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.telegram import Trouble
from tests.benchmarks.load.tcp_proxy import TcpProxy
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

# A statement over a connection that leads nowhere is given up after so long.
GIVEN_UP_S = 15.0


@pytest.fixture
def database_url(postgres: PostgresServer) -> str:
    return postgres.url


async def outcomes(sessions: Sessions) -> list[str]:
    async with sessions() as session:
        return list(await session.scalars(select(Delivery.outcome).order_by(Delivery.id)))


@pytest.mark.parametrize(
    ("trouble", "ledger"),
    [((), ["sent"]), ((Trouble.restarting(),), ["not_sent", "sent"])],
    ids=["arrived", "not sent"],
)
async def test_what_became_of_a_send_survives_an_outage_of_postgresql(
    products: ProductFactory,
    sessions: Sessions,
    postgres: PostgresServer,
    trouble: tuple[Trouble, ...],
    ledger: list[str],
) -> None:
    async with products.start(delivery_on_unknown="skip", delivery_progress="off") as product:
        product.telegram.script(*trouble, method="sendPhoto")
        with product.telegram.holding_uploads():
            request = await product.ask()
            await product.telegram.wait_for_calls(1, timeout=PATIENCE_S, method="sendPhoto")
            postgres.stop()
        async with asyncio.timeout(PATIENCE_S):
            while product.telegram.calls[0].status is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        postgres.start()

        picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert picture.state is State.DELIVERED
        assert len(product.telegram.sent) == 1
        assert await outcomes(sessions) == ledger


async def test_a_connection_that_leads_nowhere_does_not_hold_up_what_became_of_a_send(
    products: ProductFactory, sessions: Sessions, postgres: PostgresServer
) -> None:
    async with TcpProxy(f"127.0.0.1:{postgres.port}") as proxy:
        through_proxy = postgres.url.replace(f"127.0.0.1:{postgres.port}", proxy.address)
        async with products.start(works=False, database_url=through_proxy) as product:
            async with product.worker():
                with product.telegram.holding_uploads():
                    request = await product.ask()
                    await product.telegram.wait_for_calls(1, timeout=PATIENCE_S, method="sendPhoto")
                    proxy.abandon_connections()
                began = time.monotonic()
                async with asyncio.timeout(PATIENCE_S):
                    while await outcomes(sessions) != ["sent"]:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                took_s = time.monotonic() - began

            assert len(product.telegram.sent) == 1
            assert (await product.hook.wait(request, timeout=PATIENCE_S)).state is State.DELIVERED

    assert took_s < GIVEN_UP_S
