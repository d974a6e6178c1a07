"""What became of a send is written down although PostgreSQL is away when it ends."""

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from chatflow_hook.tables import State
from imagegen.db import migrations
from imagegen.db.tables import Delivery
from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.telegram import Trouble
from tests.support.conversations import Sessions
from tests.support.product import PATIENCE_S, ProductFactory


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        migrations.upgrade(server.url)
        yield server


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
    async with products.start(delivery_on_unknown="skip") as product:
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
