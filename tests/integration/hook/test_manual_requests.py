"""Pictures that people ask for, and how many they may have."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import update

from chatflow_hook import ChatFlowHook, Limited, NothingToVary, Request
from chatflow_hook.tables import ImageRequest, State
from tests.support import conversations
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory


@pytest.fixture
async def strict(database_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    """A hook that allows two pictures a day and one asked-for picture a minute."""
    settings = conversations.hook_settings(
        database_url, redis_url, images_per_user_per_day=2, asked_images_per_minute=1
    )
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
        yield hook


async def test_a_picture_that_is_asked_for_comes_and_moves_the_watermark(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        await product.hook.on_turn(turn())
        request = await product.hook.ask(turn(text="show me the beach"))

        assert isinstance(request, Request)
        picture = await product.hook.wait(request, timeout=PATIENCE_S)
        assert picture.state is State.DELIVERED
        assert "beach" in product.prompts()[0] or "sea" in product.prompts()[0]
        dialog = await conversations.dialog(sessions)
        assert (dialog.message_count, dialog.last_image_generation_at) == (1, 1)


async def test_asking_again_is_the_same_picture_while_it_is_open_and_then_another_one(
    products: ProductFactory,
) -> None:
    async with products.start(works=False) as product:
        first = await product.hook.ask(turn())
        again = await product.hook.ask(turn(text="in a red dress"))
        elsewhere = await product.hook.ask(turn(dialog_id=2))
        assert isinstance(first, Request)
        async with product.worker():
            before = await product.hook.wait(first, timeout=PATIENCE_S)
        second = await product.hook.ask(turn())
        assert isinstance(second, Request)
        async with product.worker():
            after = await product.hook.wait(second, timeout=PATIENCE_S)

    assert again == first
    assert elsewhere not in (first, second)
    assert before.seed != after.seed


async def test_no_automatic_picture_begins_while_one_that_was_asked_for_is_under_way(
    strict: ChatFlowHook, sessions: Sessions
) -> None:
    asked = await strict.ask(turn())
    assert isinstance(asked, Request)

    meanwhile = [await strict.on_turn(turn()) for _ in range(4)]
    await conversations.end(sessions, asked, State.FAILED)
    afterwards = [await strict.on_turn(turn()) for _ in range(4)]

    assert meanwhile == [None] * 4
    assert any(afterwards)


async def test_who_asks_with_the_message_that_brings_a_picture_gets_one_and_not_two(
    products: ProductFactory,
) -> None:
    async with products.start(works=False) as product:
        automatic = await product.ask()
        asked = await product.hook.ask(turn(message_count=3))

        assert isinstance(asked, Request)
        assert (await product.hook.status(automatic)).state is State.CANCELLED
        assert (await product.hook.status(asked)).state is State.QUEUED


async def test_a_variation_has_another_seed_and_another_wording_of_the_same_scene(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product:
        asked = await product.hook.ask(turn(text="meet me in the kitchen"))
        assert isinstance(asked, Request)
        before = await product.hook.wait(asked, timeout=PATIENCE_S)

        varied = await product.hook.vary(asked.id)

        assert isinstance(varied, Request)
        after = await product.hook.wait(varied, timeout=PATIENCE_S)
        first, second = product.prompts()
        assert after.state is State.DELIVERED
        assert before.seed != after.seed
        assert first != second
        assert "kitchen" in first
        assert "kitchen" in second
        assert (await conversations.row(sessions, varied.id)).kind == "variation"


async def test_only_a_delivered_picture_can_be_varied(strict: ChatFlowHook) -> None:
    asked = await strict.ask(turn())
    assert isinstance(asked, Request)

    with pytest.raises(NothingToVary):
        await strict.vary(asked.id)
    with pytest.raises(NothingToVary):
        await strict.vary(uuid4())


async def test_what_the_bots_own_prompt_described_cannot_be_varied_where_no_words_are_kept(
    products: ProductFactory,
) -> None:
    async with products.start(context_retention=0) as product:
        asked = await product.hook.ask(turn(prompt="she repairs a bicycle in a workshop"))
        assert isinstance(asked, Request)
        await product.hook.wait(asked, timeout=PATIENCE_S)

        with pytest.raises(NothingToVary):
            await product.hook.vary(asked.id)


async def test_what_was_drawn_in_the_place_of_the_bots_own_prompt_can_be_varied(
    products: ProductFactory,
) -> None:
    async with products.start() as product:
        asked = await product.hook.ask(turn(prompt="naked in the kitchen"))
        assert isinstance(asked, Request)
        await product.hook.wait(asked, timeout=PATIENCE_S)

        varied = await product.hook.vary(asked.id)

        assert isinstance(varied, Request)
        assert (await product.hook.wait(varied, timeout=PATIENCE_S)).state is State.DELIVERED
        assert "kitchen" in product.prompts()[1]


async def test_five_asks_at_once_of_which_one_is_allowed_give_one_picture(
    strict: ChatFlowHook,
) -> None:
    answer = await asyncio.gather(*(strict.ask(turn(number, user_id=5)) for number in range(1, 6)))

    assert sorted(type(each).__name__ for each in answer) == [*["Limited"] * 4, "Request"]


async def test_who_has_asked_often_enough_learns_when_the_next_one_is_free(
    strict: ChatFlowHook,
) -> None:
    began = datetime.now(UTC)
    await strict.ask(turn())

    answer = await strict.ask(turn(dialog_id=2, user_id=1001))

    assert isinstance(answer, Limited)
    assert timedelta(seconds=55) < answer.free_at - began < timedelta(seconds=65)


async def test_who_asks_again_while_the_last_picture_is_under_way_gets_that_one(
    strict: ChatFlowHook,
) -> None:
    last = await strict.ask(turn())

    assert isinstance(last, Request)
    assert await strict.ask(turn()) == last


async def test_the_day_counts_pictures_of_every_dialog_and_kind(
    strict: ChatFlowHook, sessions: Sessions
) -> None:
    asked = await strict.ask(turn(user_id=7))
    assert isinstance(asked, Request)
    for _ in range(3):
        automatic = await strict.on_turn(turn(dialog_id=2, user_id=7))
    assert automatic is not None
    await _age(sessions, asked, minutes=2)

    answer = await strict.ask(turn(dialog_id=3, user_id=7))
    others = await strict.ask(turn(dialog_id=3, user_id=8))

    assert isinstance(answer, Limited)
    assert answer.free_at > datetime.now(UTC) + timedelta(hours=23, minutes=50)
    assert isinstance(others, Request)


async def test_a_picture_that_failed_costs_nothing(
    strict: ChatFlowHook, sessions: Sessions
) -> None:
    asked = await strict.ask(turn())
    assert isinstance(asked, Request)
    await conversations.end(sessions, asked, State.FAILED)

    assert isinstance(await strict.ask(turn()), Request)


async def test_a_delivered_picture_counts_as_an_open_one_does(
    strict: ChatFlowHook, sessions: Sessions
) -> None:
    asked = await strict.ask(turn())
    assert isinstance(asked, Request)
    await conversations.end(sessions, asked, State.DELIVERED)

    assert isinstance(await strict.ask(turn()), Limited)


async def test_a_picture_of_the_trigger_waits_for_the_day_to_pass(
    strict: ChatFlowHook, sessions: Sessions
) -> None:
    for dialog_id in (1, 2):
        asked = await strict.ask(turn(dialog_id=dialog_id, user_id=7))
        assert isinstance(asked, Request)
        await _age(sessions, asked, minutes=2)

    early = [await strict.on_turn(turn(dialog_id=3, user_id=7)) for _ in range(4)]
    assert isinstance(asked, Request)
    await _age(sessions, asked, minutes=25 * 60)
    later = [await strict.on_turn(turn(dialog_id=3, user_id=7)) for _ in range(4)]

    assert early == [None] * 4
    assert len([request for request in later if request is not None]) == 1


async def _age(sessions: Sessions, request: Request, *, minutes: float) -> None:
    """Move the creation of a request into the past."""
    when = datetime.now(UTC) - timedelta(minutes=minutes)
    query = update(ImageRequest).where(ImageRequest.id == request.id).values(created_at=when)
    async with sessions.begin() as session:
        await session.execute(query)
