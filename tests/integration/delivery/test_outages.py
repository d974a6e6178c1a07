"""Sends while Telegram, or the way to it, is away or busy."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from sqlalchemy import select

from chatflow_hook import SentPhoto
from chatflow_hook.tables import State
from imagegen.db.engine import connect
from imagegen.db.tables import Delivery, ForgottenMessage, SendOutcome
from imagegen.delivery.rate_limit import FloodControl
from imagegen.maintenance.forgotten_messages import ForgottenMessages
from imagegen.sandbox.telegram import SandboxTelegram, Trouble
from tests.support import conversations
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory
from tests.support.told_chat import sender_to

ANNA, GROUPS, PRIVATE_CHATS = 1001, (-1, -2, -3), (1, 2, 3)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, db=4) as client:
        yield client


async def sends(sessions: Sessions) -> list[Delivery]:
    async with sessions() as session:
        return list(await session.scalars(select(Delivery).order_by(Delivery.id)))


async def until_sent(sessions: Sessions) -> None:
    """Wait until the ledger knows which message a send has become."""
    async with asyncio.timeout(PATIENCE_S):
        while [send.outcome for send in await sends(sessions)] != [SendOutcome.SENT]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def forgotten_messages(sessions: Sessions) -> list[tuple[int, int]]:
    async with sessions() as session:
        query = select(ForgottenMessage.chat_id, ForgottenMessage.message_id)
        return [(row[0], row[1]) for row in await session.execute(query)]


async def test_a_firewall_that_drops_packets_costs_time_only(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False, telegram_timeout=0.4) as product:
        request = await product.ask()
        await product.telegram.drop_packets()
        async with product.worker():
            async with asyncio.timeout(PATIENCE_S):
                while len([s for s in await sends(sessions) if s.finished_at]) < 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await product.telegram.pass_packets()
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert picture.state is State.DELIVERED
        assert len(product.telegram.sent) == 1
        assert {send.outcome for send in await sends(sessions)} == {"not_sent", "sent"}


async def test_a_request_that_is_cancelled_during_its_send_leaves_its_message_in_the_ledger(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        with product.telegram.holding_uploads():
            request = await product.ask()
            await product.telegram.wait_for_calls(1, timeout=PATIENCE_S, method="sendPhoto")
            assert await product.hook.cancel(request)
        await until_sent(sessions)

        forgotten = await product.hook.forget_user(ANNA)

        (message,) = product.telegram.sent
        assert forgotten.photos == (SentPhoto(chat_id=ANNA, message_id=message.message_id),)


async def test_a_user_who_is_forgotten_during_a_send_loses_the_photo_too(
    products: ProductFactory, sessions: Sessions, database_url: str, redis_url: str
) -> None:
    async with products.start() as product:
        with product.telegram.holding_uploads():
            await product.ask()
            await product.telegram.wait_for_calls(1, timeout=PATIENCE_S, method="sendPhoto")
            await product.hook.forget_user(ANNA)
        (message,) = await product.telegram.wait_for(1, timeout=PATIENCE_S)
        async with asyncio.timeout(PATIENCE_S):
            while not await forgotten_messages(sessions):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert await forgotten_messages(sessions) == [(ANNA, message.message_id)]

        await clean_up(database_url, redis_url, product.telegram)

        assert not product.telegram.chats.has(ANNA, message.message_id)
        assert await forgotten_messages(sessions) == []


async def clean_up(database_url: str, redis_url: str, telegram: SandboxTelegram) -> None:
    """Take one step of the clean-up, which a worker takes every few seconds."""
    engine = connect(database_url)
    async with sender_to(telegram, redis_url) as sender:
        await ForgottenMessages(engine, sender).step()
    await engine.dispose()


async def test_a_flood_wait_that_is_longer_than_a_picture_is_wanted_ends_the_request_in_time(
    products: ProductFactory,
) -> None:
    async with products.start(request_max_age=4.0, delivery_progress="off") as product:
        product.telegram.script(Trouble.flood(3600), method="sendPhoto")

        picture = await product.picture()

        assert (picture.state, picture.error_code) == (State.EXPIRED, "too_old")
        assert len(product.telegram.calls) == 1


async def test_a_flood_wait_after_a_send_that_may_have_arrived_moves_the_watermark(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(request_max_age=4.0, delivery_progress="off") as product:
        product.telegram.script(
            Trouble.drop(is_accepted=True), Trouble.flood(3600), method="sendPhoto"
        )

        picture = await product.picture()

        assert (picture.state, picture.error_code) == (State.FAILED, "delivery_unknown")
        assert len(product.telegram.sent) == 1
        assert (await conversations.dialog(sessions)).last_image_generation_at == 3


async def test_flooded_groups_do_not_pause_private_chats(redis: Redis) -> None:
    flood_control = FloodControl(redis)

    for chat_id in GROUPS:
        await flood_control.pause(chat_id, 60)

    assert await flood_control.wait_s(ANNA) == 0


async def test_private_chats_whose_pauses_are_over_pause_nobody(redis: Redis) -> None:
    now = 100.0
    flood_control = FloodControl(redis, clock=lambda: now)
    for chat_id in PRIVATE_CHATS[:2]:
        await flood_control.pause(chat_id, 5)
    now += 5

    await flood_control.pause(PRIVATE_CHATS[2], 60)

    assert await flood_control.wait_s(ANNA) == 0


async def test_a_send_that_is_known_to_have_arrived_is_not_made_again(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        request = await product.ask()
        async with sessions.begin() as session:
            session.add(
                Delivery(request_id=request.id, attempt=1, outcome=SendOutcome.SENT, message_id=77)
            )
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert (picture.state, picture.telegram_message_id) == (State.DELIVERED, 77)
        assert product.telegram.sent == []
        assert (await conversations.dialog(sessions)).last_image_generation_at == 3
