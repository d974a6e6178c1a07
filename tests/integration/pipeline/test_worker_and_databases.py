"""A worker whose database refuses what it asks: no request is lost for it, and the reason is said."""

import asyncio

from sqlalchemy import make_url
from structlog.testing import capture_logs

from chatflow_hook.tables import State
from tests.support import broken_databases, conversations, schema_dump
from tests.support.conversations import Sessions
from tests.support.http_probe import Prober
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.product import ProductFactory

NOTICED_S = 10.0
# All that a worker needs, except what it writes into `deliveries`.
GRANTS = (
    "SELECT ON ALL TABLES IN SCHEMA public",
    "UPDATE, DELETE ON dialogs, image_requests",
    "INSERT, UPDATE, DELETE ON stray_prompts, forgotten_images, forgotten_messages",
    "INSERT, UPDATE, DELETE ON safety_audit, hash_secret, safety_memory",
    "INSERT, UPDATE, DELETE ON unread_turns, age_confirmations, imagegen_pauses",
    "USAGE ON ALL SEQUENCES IN SCHEMA public",
)
# What PostgreSQL says of a text that it cannot store.
REFUSES_DIALOG_1 = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE SQLSTATE '22P05' USING MESSAGE = 'secret words'; END $$;
CREATE TRIGGER refuses BEFORE UPDATE ON image_requests
  FOR EACH ROW WHEN (NEW.dialog_id = 1 AND NEW.state = 'drawing') EXECUTE FUNCTION refuse()
"""


async def test_a_missing_right_ends_no_request_and_is_over_once_it_is_granted(
    products: ProductFactory, database_url: str
) -> None:
    port = free_port()
    async with (
        broken_databases.weak_role(database_url, *GRANTS) as url,
        products.start(works=False, database_url=url, web_port=port) as product,
    ):
        requests = [await product.ask(dialog_id=number) for number in range(1, 5)]
        async with product.worker():
            answer = await Prober(port).until_missing("postgresql", "requests", timeout_s=NOTICED_S)
            await schema_dump.execute(
                database_url, f"GRANT INSERT, UPDATE ON deliveries TO {make_url(url).username}"
            )
            ends = [await product.hook.wait(each, timeout=PATIENCE_S) for each in requests]
            after = await Prober(port).until_missing(timeout_s=NOTICED_S)

    assert "GRANT INSERT, UPDATE ON deliveries" in answer.body["missing"]["postgresql"]
    assert "insufficient_privilege, 42501" in answer.body["missing"]["requests"]
    assert [end.state for end in ends] == [State.DELIVERED] * 4
    assert len(product.hosts[0].posted) == len(product.telegram.sent) == 4
    assert after.status == 200


async def test_a_request_that_alone_is_refused_ends_while_others_are_delivered(
    products: ProductFactory, sessions: Sessions, database_url: str
) -> None:
    await schema_dump.execute(database_url, REFUSES_DIALOG_1)
    async with products.start() as product:
        guilty = await product.ask(dialog_id=1)

        delivered = 0
        while (end := await product.hook.wait(guilty, timeout=0)).state.is_open:
            delivered += (await product.picture(dialog_id=2 + delivered)).state is State.DELIVERED

    row = await conversations.row(sessions, guilty.id)
    assert (end.state, end.error_code) == (State.FAILED, "database_refused")
    assert (row.attempts, delivered >= 2) == (3, True)
    assert "untranslatable_character, 22P05" in (row.error_sentence or "")
    assert "secret words" not in (row.error_sentence or "")


async def test_after_a_failover_the_worker_goes_on_without_a_restart(
    products: ProductFactory, database_url: str
) -> None:
    await broken_databases.make_read_only(database_url, is_read_only=True)
    port = free_port()
    async with products.start(works=False, web_port=port) as product, product.worker():
        # From now on the worker has connections to a server that takes no writes.
        answer = await Prober(port).until_missing("postgresql", timeout_s=NOTICED_S)
        await broken_databases.make_read_only(database_url, is_read_only=False)
        picture = await product.picture()
        after = await Prober(port).until_missing(timeout_s=NOTICED_S)

    assert "takes no writes" in answer.body["missing"]["postgresql"]
    assert (picture.state, after.status) == (State.DELIVERED, 200)


async def test_a_wrong_password_is_said_with_what_to_do_and_without_a_traceback(
    products: ProductFactory, database_url: str
) -> None:
    why = "look at DATABASE_URL (invalid_password, 28P01)"
    wrong = make_url(database_url).set(password="marmalade")
    port = free_port()
    with capture_logs() as log:
        async with (
            products.start(
                works=False,
                web_port=port,
                database_url=wrong.render_as_string(hide_password=False),
            ) as product,
            product.worker(),
        ):
            async with asyncio.timeout(NOTICED_S):
                while "database not ready" not in [line["event"] for line in log]:  # noqa: ASYNC110 (a list gives no event)
                    await asyncio.sleep(0.05)
            answer = await Prober(port).until_missing("postgresql", timeout_s=NOTICED_S, why=why)

    assert [line["event"] for line in log if line.get("exc_info")] == []
    told = [line for line in log if line["event"] == "database not ready"]
    assert len(told) == 1
    assert why in told[0]["why"]
    assert "marmalade" not in str(log) + str(answer.body)
