"""PostgreSQL refuses to store what became of sends: the worker stops sending, and nothing is lost."""

from sqlalchemy import make_url, select
from structlog.testing import capture_logs

from chatflow_hook.tables import State
from imagegen.db.tables import Delivery
from tests.support import broken_databases, schema_dump
from tests.support.conversations import Sessions
from tests.support.http_probe import Prober
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.product import ProductFactory

NOTICED_S = 10.0
# All that a worker needs, except the right to move the watermark.
GRANTS = (
    "SELECT ON ALL TABLES IN SCHEMA public",
    "INSERT, UPDATE, DELETE ON image_requests, deliveries, stray_prompts",
    "INSERT, UPDATE, DELETE ON forgotten_images, forgotten_messages, safety_audit, hash_secret",
    "INSERT, UPDATE, DELETE ON safety_memory, unread_turns, age_confirmations",
    "USAGE ON ALL SEQUENCES IN SCHEMA public",
)


async def test_pictures_that_cannot_be_written_down_stop_the_jobs_until_they_can(
    products: ProductFactory, sessions: Sessions, database_url: str
) -> None:
    port = free_port()
    with capture_logs() as logged:
        async with (
            broken_databases.weak_role(database_url, *GRANTS) as url,
            # A persona's caption is chosen under the lock of the dialog, so before the send.
            products.start(
                works=False, database_url=url, web_port=port, delivery_captions=False
            ) as product,
        ):
            requests = [await product.ask(dialog_id=number) for number in range(1, 4)]
            async with product.worker():
                answer = await Prober(port).until_missing(
                    "postgresql", "requests", timeout_s=NOTICED_S
                )
                await schema_dump.execute(
                    database_url, f"GRANT UPDATE ON dialogs TO {make_url(url).username}"
                )
                ends = [await product.hook.wait(each, timeout=PATIENCE_S) for each in requests]

    assert "insufficient_privilege, 42501" in answer.body["missing"]["requests"]
    assert [end.state for end in ends] == [State.DELIVERED] * 3
    assert len(product.telegram.sent) == 3
    async with sessions() as session:
        assert set(await session.scalars(select(Delivery.outcome))) == {"sent"}
    assert len([line for line in logged if line["event"] == "send is written down later"]) == 3
