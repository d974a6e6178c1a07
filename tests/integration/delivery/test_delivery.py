"""What Telegram says about one send decides about the next, in this chat and in others."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from sqlalchemy import select

from chatflow_hook.tables import ImageRequest, State
from imagegen.db.tables import Delivery
from imagegen.delivery.rate_limit import FloodControl
from imagegen.sandbox.telegram import Trouble
from tests.support import conversations
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

ANNA, BORIS, VERA, GLEB = 1, 2, 3, 4
MS = 0.001


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, db=4) as client:
        yield client


async def test_a_flood_of_one_chat_shuts_it_for_all_workers_and_no_other_chat(redis: Redis) -> None:
    limited, other = FloodControl(redis), FloodControl(redis)

    await limited.pause(ANNA, 60)

    assert 59 < await other.wait_s(ANNA) <= 60
    assert await other.wait_s(BORIS) == 0


async def test_floods_of_several_chats_are_a_flood_of_the_bot(redis: Redis) -> None:
    limited, other = FloodControl(redis), FloodControl(redis)

    for chat_id, seconds in ((ANNA, 60), (BORIS, 50), (VERA, 40)):
        await limited.pause(chat_id, seconds)

    assert 39 < await other.wait_s(GLEB) <= 40


async def test_a_gate_opens_when_its_time_is_over(redis: Redis) -> None:
    now = 100.0
    flood_control = FloodControl(redis, clock=lambda: now)
    await flood_control.pause(ANNA, 60)
    await redis.flushdb()

    while_shut = await flood_control.wait_s(ANNA)
    now += 60

    assert (while_shut, await flood_control.wait_s(ANNA)) == (60, 0)


async def test_a_gate_without_redis_knows_what_it_was_told_itself() -> None:
    async with Redis.from_url("redis://127.0.0.1:1/4") as nobody:
        flood_control = FloodControl(nobody)

        await flood_control.pause(ANNA, 60)

        assert 59 < await flood_control.wait_s(ANNA) <= 60
        assert await flood_control.wait_s(BORIS) == 0


async def test_the_second_picture_of_a_flooded_chat_is_not_even_tried(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        product.telegram.script(Trouble.flood(3), method="sendPhoto")
        first = await product.ask(dialog_id=1, chat_id=ANNA)
        await _until_floods(sessions)

        second = await product.ask(dialog_id=2, chat_id=ANNA)
        elsewhere = await product.ask(dialog_id=3, chat_id=BORIS)
        ends = [
            await product.hook.wait(each, timeout=PATIENCE_S) for each in (first, second, elsewhere)
        ]

        assert {end.state for end in ends} == {State.DELIVERED}
        assert product.telegram.sent[0].chat_id == BORIS
        outcomes = await _outcomes(sessions)
        assert sorted(outcomes[first.id]) == ["not_sent", "sent"]
        assert outcomes[second.id] == ["sent"]
        assert len(product.hosts[0].drawn) == 3


@pytest.mark.parametrize(("policy", "sends"), [("resend", 2), ("skip", 1)])
async def test_a_picture_that_may_have_arrived_moves_the_watermark(
    products: ProductFactory, sessions: Sessions, policy: str, sends: int
) -> None:
    async with products.start(delivery_on_unknown=policy) as product:
        drop = Trouble.drop(is_accepted=True)
        product.telegram.script(drop, drop, method="sendPhoto")

        picture = await product.picture()

        assert (picture.state, picture.error_code) == (State.FAILED, "delivery_unknown")
        assert len(product.telegram.sent) == sends
        assert (await conversations.dialog(sessions)).last_image_generation_at == 3


async def test_a_group_that_moved_gets_its_picture_and_those_that_wait_follow(
    products: ProductFactory, sessions: Sessions
) -> None:
    old, new = -55, -1000055
    async with products.start(works=False, comfyui_slots_per_host=1) as product:
        product.telegram.know(old, new)
        product.telegram.migrate(old, to=new)
        asked = [await product.ask(dialog_id=n, chat_id=old, chat_type="group") for n in (1, 2)]
        async with product.worker():
            ends = [await product.hook.wait(each, timeout=PATIENCE_S) for each in asked]

        assert {end.state for end in ends} == {State.DELIVERED}
        assert [message.chat_id for message in product.telegram.sent] == [new, new]
        async with sessions() as session:
            chats = list(await session.scalars(select(ImageRequest.chat_id)))
        assert chats == [new, new]


async def test_a_revoked_token_is_said_once_and_pictures_are_kept_until_it_is_known_again(
    products: ProductFactory, sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    async with products.start(request_max_age=5.0) as product:
        known, product.telegram.token = product.telegram.token, "1:another"
        asked = [await product.ask(dialog_id=n, chat_id=n) for n in (1, 2, 3)]
        await product.telegram.wait_for_calls(3, method="getMe", timeout=PATIENCE_S)
        await _until_drawn(sessions, 3)
        product.telegram.token = known
        ends = [await product.hook.wait(each, timeout=PATIENCE_S) for each in asked]

    said = capsys.readouterr().out
    assert said.count("telegram token revoked") == 1
    assert {end.state for end in ends} <= {State.DELIVERED, State.EXPIRED}
    assert len(product.hosts[0].posted) == 3


async def _outcomes(sessions: Sessions) -> dict[object, list[str]]:
    found: dict[object, list[str]] = {}
    async with sessions() as session:
        for row in await session.scalars(select(Delivery).order_by(Delivery.id)):
            found.setdefault(row.request_id, []).append(row.outcome)
    return found


async def _until_floods(sessions: Sessions) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not any("not_sent" in each for each in (await _outcomes(sessions)).values()):  # noqa: ASYNC110
            await asyncio.sleep(20 * MS)


async def _until_drawn(sessions: Sessions, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with sessions() as session:
                states = list(await session.scalars(select(ImageRequest.state)))
            if states.count(State.DRAWN) == count:
                return
            await asyncio.sleep(50 * MS)
