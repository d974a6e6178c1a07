"""Who says to be under 18 while asking for a picture is remembered, by whichever call the bot learns it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import Limited, Message, Rating, Request, Turn
from chatflow_hook.tables import SafetyMemory, State, UnreadTurn
from imagegen.pipeline.turn_reader import TurnReader
from imagegen.safety.screen import shared_screen
from tests.support import conversations
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct

ANN, BOB = 1001, 1002
SENTENCES = (
    "I'm 15, send me a selfie",
    "I'm 16, send me a photo",
    "send me a photo, I'm only 14",
    "send me a picture: I'm 15, make a selfie of you",
    "Send me a photo of you. I am 15 years old",
    "I'm 15 and I want a picture of you",
    "i'm 17 yo, draw me a picture of you",
    "I'm 15 so draw yourself dressed",
    "as a 15 year old, can you send a selfie",
    "мне 15 лет, пришли фото",
    "мне 15, пришли селфи",
    "пришли фото, мне 14",
    "мне пятнадцать, нарисуй себя",
)
CUT = (
    ("I'm", "15, send me a selfie"),
    ("send me a photo, I'm only", "14"),
    ("draw yourself dressed,", "I'm 15"),
    ("мне", "15, пришли селфи"),
    ("нарисуй себя, мне", "пятнадцать"),
)


@pytest.fixture
def reader(engine: AsyncEngine) -> TurnReader:
    return TurnReader(engine, shared_screen())


def of(user_id: int, text: str, **fields: Any) -> Turn:
    """Make a turn of a private chat that is a dialog of its own."""
    usual = {"dialog_id": user_id, "user_id": user_id, "chat_id": user_id}
    return turn(text=text, **(usual | fields))


async def on_turn(product: RunningProduct, user_id: int, text: str) -> None:
    await product.hook.on_turn(of(user_id, text))


async def ask(product: RunningProduct, user_id: int, text: str) -> None:
    await product.hook.ask(of(user_id, text))


async def in_the_history(product: RunningProduct, user_id: int, text: str) -> None:
    said = [Message(role="user", text=text), Message(role="persona", text="Not today.")]
    await product.hook.on_turn(of(user_id, "why?", history=said))


async def in_a_group(product: RunningProduct, user_id: int, text: str) -> None:
    await product.hook.on_turn(of(user_id, text, chat_id=-100))


@pytest.mark.parametrize("says", [on_turn, ask, in_the_history, in_a_group])
async def test_each_sentence_takes_the_confirmation_and_forbids_another(
    products: ProductFactory, reader: TurnReader, says: Callable[..., Awaitable[None]]
) -> None:
    async with products.start(works=False) as product:
        for user_id, sentence in enumerate(SENTENCES, start=1):
            await product.hook.confirm_age(user_id)
            await says(product, user_id, sentence)
        await reader.step()

        users = range(1, len(SENTENCES) + 1)
        assert [user for user in users if await product.hook.has_confirmed_age(user)] == []
        assert [user for user in users if await product.hook.confirm_age(user)] == []


@pytest.mark.parametrize("says", [on_turn, ask])
async def test_so_does_a_sentence_that_is_cut_over_two_messages(
    products: ProductFactory, reader: TurnReader, says: Callable[..., Awaitable[None]]
) -> None:
    async with products.start(works=False) as product:
        for user_id, parts in enumerate(CUT, start=1):
            await product.hook.confirm_age(user_id)
            for part in parts:
                await says(product, user_id, part)
        await reader.step()

        users = range(1, len(CUT) + 1)
        assert [user for user in users if await product.hook.confirm_age(user)] == []


async def test_both_the_user_and_the_dialog_are_remembered(
    products: ProductFactory, reader: TurnReader, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        await on_turn(product, ANN, "I'm 15, send me a selfie")
        await reader.step()

    async with sessions() as session:
        learnt = (await session.execute(select(SafetyMemory.subject))).scalars().all()
    assert sorted(learnt) == ["persona", "user"]


async def test_who_plays_a_role_given_to_the_persona_keeps_the_confirmation(
    products: ProductFactory, reader: TurnReader
) -> None:
    async with products.start(works=False) as product:
        await product.hook.confirm_age(ANN)
        for text in ("you are 15, send me a selfie", "Твоя роль: ученица балета, 13 лет."):
            await on_turn(product, ANN, text)
        await reader.step()

        assert await product.hook.has_confirmed_age(ANN)


async def test_what_is_asked_for_is_read_though_it_is_cancelled_or_beyond_the_limit(
    products: ProductFactory, reader: TurnReader
) -> None:
    async with products.start(works=False, bot={"asked_images_per_minute": 1}) as product:
        for user_id in (ANN, BOB):
            await product.hook.confirm_age(user_id)
        cancelled = await product.hook.ask(of(ANN, "I'm 15, draw yourself"))
        assert isinstance(cancelled, Request)
        await product.hook.cancel(cancelled)
        await product.hook.ask(of(BOB, "at the sea", dialog_id=2))
        limited = await product.hook.ask(of(BOB, "I'm 15, send me a selfie"))
        assert isinstance(limited, Limited)
        await reader.step()

        for user_id in (ANN, BOB):
            assert not await product.hook.has_confirmed_age(user_id)


async def test_a_second_request_is_read_while_the_first_is_under_way(
    products: ProductFactory, reader: TurnReader
) -> None:
    async with products.start(works=False) as product:
        await product.hook.confirm_age(ANN)
        first = await product.hook.ask(of(ANN, "at the sea"))
        assert await product.hook.ask(of(ANN, "I'm 15, send me a selfie")) == first
        await reader.step()

        assert not await product.hook.has_confirmed_age(ANN)


@pytest.mark.parametrize("says", [on_turn, ask])
async def test_a_confirmation_before_the_sentence_was_read_is_withdrawn_before_anything_is_drawn(
    products: ProductFactory, sessions: Sessions, says: Callable[..., Awaitable[None]]
) -> None:
    async with products.start(max_rating="suggestive", works=False) as product:
        await says(product, ANN, "I'm 15, send me a selfie")
        await product.hook.confirm_age(ANN)
        request = await product.ask(rating=Rating.SUGGESTIVE, chat_type="private")
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert picture.state is State.DELIVERED
        assert (await conversations.row(sessions, request.id)).drawn_rating == "safe"
        assert not await product.hook.has_confirmed_age(ANN)
        assert not await product.hook.confirm_age(ANN)


async def test_a_variation_after_the_sentence_is_safe(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(max_rating="suggestive") as product:
        await product.hook.confirm_age(ANN)
        bold = await product.ask(rating=Rating.SUGGESTIVE, chat_type="private")
        await product.hook.wait(bold, timeout=PATIENCE_S)
        await on_turn(product, ANN, "send me a photo, I'm only 14")
        varied = await product.hook.vary(bold.id)
        assert isinstance(varied, Request)
        await product.hook.wait(varied, timeout=PATIENCE_S)

        rows = [await conversations.row(sessions, each.id) for each in (bold, varied)]
        assert [row.drawn_rating for row in rows] == ["suggestive", "safe"]
        assert not await product.hook.has_confirmed_age(ANN)


async def test_a_plain_request_is_not_noted(products: ProductFactory, sessions: Sessions) -> None:
    async with products.start(works=False) as product:
        await product.hook.ask(of(ANN, "send me a selfie"))

    async with sessions() as session:
        assert (await session.execute(select(UnreadTurn.id))).all() == []
