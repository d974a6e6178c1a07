"""A worker that hears late that a picture is its own asks once more before it posts the prompt."""

import asyncio

from sqlalchemy import select, text

from chatflow_hook.tables import ImageRequest, State
from tests.support import database_activity, schema_dump
from tests.support.conversations import Sessions
from tests.support.database_proxy import proxy_to
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

# Whoever begins to draw waits for a lock of the test.
WAITS = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$;
CREATE TRIGGER waits BEFORE UPDATE ON image_requests
  FOR EACH ROW WHEN (NEW.prompt_id IS NOT NULL AND OLD.prompt_id IS NULL) EXECUTE FUNCTION wait()
"""
# Longer than an answer of PostgreSQL is believed.
STANDSTILL_S = 1.2


async def test_a_picture_that_was_cancelled_while_the_answer_was_under_way_is_not_posted(
    products: ProductFactory, sessions: Sessions, database_url: str
) -> None:
    await schema_dump.execute(database_url, WAITS)
    async with (
        proxy_to(database_url) as (proxy, url),
        products.start(database_url=url) as product,
        sessions() as lock,
    ):
        await lock.execute(text("SELECT pg_advisory_xact_lock(1)"))
        request = await product.ask()
        await database_activity.somebody_waits(sessions)
        with proxy.answers_held_back():
            await lock.rollback()
            await _until_drawing(sessions)
            assert await product.hook.cancel(request)
            await asyncio.sleep(STANDSTILL_S)
        # What comes next shows that the worker has gone on.
        later = await product.picture(dialog_id=2)

    assert later.state is State.DELIVERED
    assert len(product.hosts[0].posted) == 1


async def _until_drawing(sessions: Sessions) -> None:
    async with asyncio.timeout(PATIENCE_S), sessions() as session:
        prompt = select(ImageRequest.prompt_id)
        while await session.scalar(prompt) is None:  # noqa: ASYNC110 (the server tells nobody)
            await asyncio.sleep(0.01)
