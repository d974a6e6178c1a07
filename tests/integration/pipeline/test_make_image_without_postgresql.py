"""PostgreSQL goes away while a picture is drawn: its request goes back, and no crash is counted."""

import asyncio

import pytest
from structlog.testing import capture_logs

from chatflow_hook.tables import State
from imagegen.sandbox.servers.postgres import PostgresServer
from tests.support import schema_dump
from tests.support.patience import PATIENCE_S
from tests.support.paused_comfyui import StepGate
from tests.support.product import ProductFactory

LET_GO_LATER = "request is let go later"
COUNTED_CRASHES = """
CREATE TABLE counted (crashes integer);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO counted VALUES (NEW.crashes); RETURN NULL; END $$;
CREATE TRIGGER notes AFTER UPDATE ON image_requests
  FOR EACH ROW WHEN (NEW.crashes > OLD.crashes) EXECUTE FUNCTION note()
"""


@pytest.fixture
def database_url(postgres: PostgresServer) -> str:
    return postgres.url


async def test_an_outage_at_the_end_of_a_drawing_is_no_crash_of_the_request(
    products: ProductFactory, postgres: PostgresServer
) -> None:
    await schema_dump.execute(postgres.url, COUNTED_CRASHES)
    gate = StepGate()
    async with products.start(sleep=gate.sleep) as product:
        request = await product.ask()
        async with asyncio.timeout(PATIENCE_S):
            await gate.moved.wait()
        postgres.stop()
        with capture_logs() as log:
            gate.release_all()
            async with asyncio.timeout(PATIENCE_S):
                while not any(line["event"] == LET_GO_LATER for line in log):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        postgres.start()

        picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED
    assert len(product.hosts[0].posted) == 1
    assert (await schema_dump.rows(postgres.url))["counted"] == []
