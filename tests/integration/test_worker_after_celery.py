"""A worker in the place of a Celery service: its warnings, its personas' names, its pictures."""

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from chatflow_hook import Request
from imagegen.maintenance.celery_import import CeleryImport
from tests.support import celery_service
from tests.support.celery_service import picture, send
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory
from tests.support.shipped_workflows import shipped_workflows


async def test_what_is_left_of_the_service_before_is_told_at_the_start(
    products: ProductFactory, redis_url: str
) -> None:
    with celery_service.app(redis_url) as celery:
        await send(celery, picture())

    with capture_logs() as log:
        async with products.start(hosts=2, max_concurrent_generations=2) as product:
            await product.picture()

    told = {line["event"]: line for line in log if line["log_level"] == "warning"}
    slots = told["MAX_CONCURRENT_GENERATIONS leaves slots unused"]
    assert (slots["slots"], slots["of"]) == (2, 4)
    assert told["another program uses the queue's database"]["of_celery"] > 0


async def test_a_persona_by_another_name_is_the_same_persona(products: ProductFactory) -> None:
    async with products.start(seed_mode="story") as product:
        by_alias = await product.picture(dialog_id=1, persona="mei", story="rain")
        by_name = await product.picture(dialog_id=2, persona="may", story="rain")

    assert (by_alias.state, by_name.state) == ("delivered", "delivered")
    assert by_alias.seed == by_name.seed


async def test_an_imported_picture_is_drawn_and_sent_to_its_chat(
    products: ProductFactory, engine: AsyncEngine, redis_url: str
) -> None:
    library = shipped_workflows()
    with celery_service.app(redis_url) as celery:
        await send(celery, picture(1001, prompt="a walk in the rain"))
    async with Redis.from_url(redis_url, db=3) as redis:
        (entry,) = [entry async for entry in CeleryImport(engine, redis, library).run()]
    assert entry.request_id is not None
    request = Request(id=entry.request_id, dialog_id=-1001, message_count=0)

    async with products.start() as product:
        ended = await product.hook.wait(request, timeout=PATIENCE_S)

    assert ended.state == "delivered"
    assert [message.chat_id for message in product.telegram.sent] == [1001]
    assert "a walk in the rain" in product.prompts()[0]
