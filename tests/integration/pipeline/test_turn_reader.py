"""What is said of ages is remembered, also where no picture was due, and keeps later pictures safe."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy import text as sql_text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from chatflow_hook import Message, Rating, Request
from chatflow_hook.tables import AgeConfirmation, SafetyMemory, State, UnreadTurn
from imagegen.maintenance.retention_parts import RetentionCounts
from imagegen.pipeline.turn_reader import TurnReader
from imagegen.requests.retry import retry_request
from imagegen.safety.screen import shared_screen
from tests.support import conversations
from tests.support.aged_rows import AgedData
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct

ANN = 1001
BOLD = {"rating": Rating.SUGGESTIVE, "chat_type": "private"}


@pytest.fixture
def reader(engine: AsyncEngine) -> TurnReader:
    return TurnReader(engine, shared_screen())


async def memories(sessions: Sessions) -> list[SafetyMemory]:
    async with sessions() as session:
        found = await session.execute(select(SafetyMemory).order_by(SafetyMemory.subject))
        return list(found.scalars())


async def unread(sessions: Sessions) -> list[UnreadTurn]:
    async with sessions() as session:
        return list((await session.execute(select(UnreadTurn))).scalars())


async def hears(product: RunningProduct, text: str, **fields: Any) -> None:
    """Let a message come that brings no picture."""
    await product.hook.on_turn(turn(text=text, **fields))


async def drawn_rating(product: RunningProduct, **fields: Any) -> str | None:
    """Ask for a picture in plain words, and return the rating with which it was delivered."""
    request = await product.ask(**BOLD, **fields)
    picture = await product.hook.wait(request, timeout=PATIENCE_S)
    assert picture.state is State.DELIVERED
    return (await conversations.row(product.sessions, request.id)).drawn_rating


async def test_who_says_to_be_under_18_loses_the_confirmation_and_cannot_confirm_again(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(max_rating="suggestive") as product:
        await product.hook.confirm_age(ANN)
        assert await drawn_rating(product) == "suggestive"

        await hears(product, "честно говоря, мне 15", reply_to_message_id=8)
        async with asyncio.timeout(PATIENCE_S):
            while await product.hook.has_confirmed_age(ANN):  # noqa: ASYNC110 (PostgreSQL tells nobody)
                await asyncio.sleep(0.02)

        assert not await product.hook.confirm_age(ANN)
        assert not await product.hook.may_ask_age(ANN)
        assert not await product.hook.has_confirmed_age(ANN)
        assert await drawn_rating(product) == "safe"
        assert await drawn_rating(product, dialog_id=2, user_id=ANN, chat_id=ANN) == "safe"

    (learnt,) = await memories(sessions)
    assert (learnt.subject, learnt.rule, learnt.message_count) == ("user", "minor_mentioned", 4)
    assert str(ANN) not in learnt.key
    assert learnt.until is not None
    assert learnt.learnt_at is not None
    assert (learnt.until - learnt.learnt_at).days == 30


async def test_what_was_said_is_read_before_the_next_picture_is_drawn(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(max_rating="suggestive", works=False) as product:
        await product.hook.confirm_age(ANN)
        request = await product.ask(**BOLD)
        await hears(product, "I'm fifteen btw", dialog_id=7, user_id=ANN)
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED
    assert (await conversations.row(sessions, request.id)).drawn_rating == "safe"


async def test_a_persona_that_was_given_such_an_age_keeps_its_dialog_safe_until_it_begins_anew(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(max_rating="suggestive") as product:
        await product.hook.confirm_age(ANN)
        await hears(product, "в этой игре тебе 15", message_count=4)
        ratings = [
            await drawn_rating(product),
            await drawn_rating(product, dialog_id=2, user_id=ANN, chat_id=ANN),
        ]
        await hears(product, "hello", message_count=1)
        ratings.append(await drawn_rating(product))
        await hears(product, "now you are 16", message_count=2)
        ratings.append(await drawn_rating(product))
        await product.hook.on_dialog_start(turn(text=""))
        ratings.append(await drawn_rating(product))

        assert ratings == ["safe", "suggestive", "suggestive", "safe", "suggestive"]
        assert await product.hook.has_confirmed_age(ANN)
    assert await memories(sessions) == []


async def test_an_answer_is_read_with_the_question_of_the_turn_before(
    products: ProductFactory, reader: TurnReader, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        await hears(product, "привет", reply="Привет! Сколько тебе лет?")
        await reader.step()
        assert await memories(sessions) == []
        await hears(product, "пятнадцать")
        await reader.step()

    assert [learnt.subject for learnt in await memories(sessions)] == ["user"]


async def test_a_turn_with_its_history_is_erased_when_it_is_read_and_another_within_minutes(
    products: ProductFactory, reader: TurnReader, sessions: Sessions, aged_data: AgedData
) -> None:
    async with products.start(works=False) as product:
        await hears(product, "I am 30", history=[Message(role="user", text="hello")])
        await reader.step()
        assert await unread(sessions) == []
        await hears(product, "I am 31")
        await reader.step()

    assert [note.read_at is not None for note in await unread(sessions)] == [True]
    await _age(sessions, UnreadTurn.read_at, "3 minutes")
    assert await aged_data.retention().count_due() == RetentionCounts(turns=1)
    assert await aged_data.retention().erase_all_due() == RetentionCounts(turns=1)
    assert await unread(sessions) == []


async def test_what_is_over_is_erased_by_retention_and_may_be_confirmed_anew(
    products: ProductFactory, reader: TurnReader, sessions: Sessions, aged_data: AgedData
) -> None:
    async with products.start(works=False) as product:
        await hears(product, "I'm 15")
        await hears(product, "you are 15", dialog_id=2)
        await reader.step()
        assert len(await memories(sessions)) == 2
        await _age(sessions, SafetyMemory.until, "1 second")
        await product.hook.forget_user(1002, dialog_ids=[2])

        assert await product.hook.may_ask_age(ANN)
        assert await product.hook.confirm_age(ANN)
    assert await aged_data.retention().erase_all_due() == RetentionCounts(memories=1)
    assert await memories(sessions) == []


async def test_forgetting_a_user_leaves_a_hash_and_the_waiting_time_only(
    products: ProductFactory, reader: TurnReader, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        await hears(product, "I'm 15 and you are 15 too")
        await reader.step()
        until = [learnt.until for learnt in await memories(sessions) if learnt.subject == "user"]
        await product.hook.forget_user(ANN, dialog_ids=[1])

        (left,) = await memories(sessions)
        assert (left.subject, left.rule, left.version, left.message_count) == (
            "user",
            None,
            None,
            None,
        )
        assert (left.learnt_at, [left.until]) == (None, until)
        assert not await product.hook.confirm_age(ANN)
    async with sessions() as session:
        assert (await session.execute(select(AgeConfirmation))).all() == []


async def test_several_workers_read_a_turn_at_once_and_one_learns(
    products: ProductFactory, engine: AsyncEngine
) -> None:
    readers = [TurnReader(engine, shared_screen()) for _ in range(4)]
    async with products.start(works=False) as product:
        await product.hook.confirm_age(ANN)
        await hears(product, "I'm 15")

        with capture_logs() as logged:
            await asyncio.gather(*(each.step() for each in readers))

        assert [line["event"] for line in logged].count("age confirmation is revoked") == 1
        assert not await product.hook.has_confirmed_age(ANN)
    assert "15" not in str(logged)


async def test_a_confirmation_at_the_moment_of_learning_does_not_outlive_it(
    products: ProductFactory, engine: AsyncEngine
) -> None:
    reader = TurnReader(engine, shared_screen())
    async with products.start(works=False) as product:
        for user in range(1, 9):
            await hears(product, "I'm 15", dialog_id=user, user_id=user, chat_id=user)
            await asyncio.gather(reader.step(), product.hook.confirm_age(user))

            assert not await product.hook.has_confirmed_age(user)


async def test_a_turn_of_before_the_dialog_began_anew_tells_of_the_user_only(
    products: ProductFactory, reader: TurnReader, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        await hears(product, "I'm 15 and you are 15 too")
        await product.hook.on_dialog_start(turn(text=""))
        await reader.step()

    assert [learnt.subject for learnt in await memories(sessions)] == ["user"]


async def test_in_a_group_an_age_in_the_history_is_not_taken_for_the_users(
    products: ProductFactory,
) -> None:
    history = (Message(role="user", text="I'm 15"),)
    async with products.start(max_rating="suggestive") as product:
        await product.hook.confirm_age(ANN)
        assert await drawn_rating(product, chat_id=-100, history=history) == "safe"
        assert await product.hook.has_confirmed_age(ANN)

        assert await drawn_rating(product, history=history) == "safe"
        assert not await product.hook.has_confirmed_age(ANN)


async def test_a_variation_and_a_retry_obey_what_was_learnt(
    products: ProductFactory, sessions: Sessions, engine: AsyncEngine
) -> None:
    async with products.start(max_rating="suggestive", works=False) as product:
        await product.hook.confirm_age(ANN)
        async with product.worker():
            bold = await product.ask(**BOLD)
            await product.hook.wait(bold, timeout=PATIENCE_S)
        failed = await product.ask(**BOLD)
        await conversations.end(sessions, failed, State.FAILED)
        varied = await product.hook.vary(bold.id)
        assert isinstance(varied, Request)
        await hears(product, "I'm 15")
        await retry_request(engine, None, failed.id)
        async with product.worker():
            for request in (varied, failed):
                await product.hook.wait(request, timeout=PATIENCE_S)

    rows = [await conversations.row(sessions, each.id) for each in (bold, varied, failed)]
    assert [row.drawn_rating for row in rows] == ["suggestive", "safe", "safe"]


async def test_what_cannot_be_read_keeps_the_dialog_safe_and_is_not_read_again(
    products: ProductFactory, reader: TurnReader, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        await hears(product, "I am 30")
    async with sessions.begin() as session:
        await session.execute(update(UnreadTurn).values(conversation={"history": [], "text": 5}))

    await reader.step()

    assert [learnt.rule for learnt in await memories(sessions)] == ["unread"]
    assert await unread(sessions) == []


@pytest.fixture
def aged_data(engine: AsyncEngine, tmp_path: Any) -> AgedData:
    return AgedData(engine, tmp_path / "pictures")


async def _age(sessions: Sessions, column: Any, span: str) -> None:
    async with sessions.begin() as session:
        query = update(column.class_).values(
            {column.key: func.clock_timestamp() - sql_text(f"interval '{span}'")}
        )
        await session.execute(query)
