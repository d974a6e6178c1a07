"""Messages of forgotten users are deleted from chats, each of them whatever becomes of the others."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from imagegen.db.tables import ForgottenMessage
from imagegen.delivery.errors import FloodWait
from imagegen.delivery.message import PhotoMessage
from imagegen.maintenance.forgotten_messages import ForgottenMessages
from imagegen.sandbox.telegram import SandboxTelegram, Trouble
from tests.support.conversations import Sessions
from tests.support.pictures import png
from tests.support.told_chat import sender_to

ANNA, BORIS = 1, 2
PHOTO = PhotoMessage(
    chat_id=ANNA, data=png(), filename="a.png", width=64, height=64, has_spoiler=True
)
STRANGE = Trouble.refused(418, "I'm a teapot")


@pytest.fixture
async def server() -> AsyncIterator[SandboxTelegram]:
    async with SandboxTelegram() as server:
        yield server


@pytest.fixture
async def forgotten(
    engine: AsyncEngine, server: SandboxTelegram, redis_url: str
) -> AsyncIterator[ForgottenMessages]:
    async with sender_to(server, redis_url) as sender:
        yield ForgottenMessages(engine, sender)


async def put(sessions: Sessions, *messages: tuple[int, int]) -> None:
    """List messages, one after the other."""
    for chat_id, message_id in messages:
        async with sessions.begin() as session:
            query = insert(ForgottenMessage)
            await session.execute(query.values(chat_id=chat_id, message_id=message_id))


async def listed(sessions: Sessions) -> list[tuple[int, int]]:
    async with sessions() as session:
        query = select(ForgottenMessage.chat_id, ForgottenMessage.message_id)
        return [(row[0], row[1]) for row in await session.execute(query)]


@pytest.mark.parametrize(
    "trouble", [STRANGE, Trouble.flood(60), Trouble.drop()], ids=["strange", "flood", "drop"]
)
async def test_a_message_that_telegram_defers_holds_up_no_other(
    forgotten: ForgottenMessages, server: SandboxTelegram, sessions: Sessions, trouble: Trouble
) -> None:
    await put(sessions, (ANNA, 1), (BORIS, 2))
    server.script(trouble, chat_id=ANNA)

    await forgotten.step()

    assert await listed(sessions) == [(ANNA, 1)]


async def test_a_flooded_chat_is_left_alone(
    forgotten: ForgottenMessages, server: SandboxTelegram, sessions: Sessions
) -> None:
    await put(sessions, (ANNA, 1), (ANNA, 2))
    server.script(Trouble.flood(60), chat_id=ANNA)

    await forgotten.step()

    assert len(server.calls) == 1
    assert await listed(sessions) == [(ANNA, 1), (ANNA, 2)]


async def test_a_batch_that_telegram_defers_holds_up_no_message_behind_it(
    forgotten: ForgottenMessages, server: SandboxTelegram, sessions: Sessions
) -> None:
    await put(sessions, *((ANNA, number) for number in range(1, 52)), (BORIS, 1))
    server.script(*[STRANGE] * 51, chat_id=ANNA)

    await forgotten.step()

    assert len(await listed(sessions)) == 51
    assert (BORIS, 1) not in await listed(sessions)


async def test_a_telegram_that_is_out_of_reach_is_asked_once(
    forgotten: ForgottenMessages, server: SandboxTelegram, sessions: Sessions
) -> None:
    await put(sessions, (ANNA, 1), (BORIS, 2))
    server.script(*[Trouble.blocked_on_the_way()] * 2)

    await forgotten.step()

    assert len(server.calls) == 1


async def test_in_the_place_of_a_picture_too_old_to_be_deleted_comes_an_empty_one(
    engine: AsyncEngine, server: SandboxTelegram, sessions: Sessions, redis_url: str
) -> None:
    async with sender_to(server, redis_url) as sender:
        sent = await sender.send_photo(PHOTO)
    await put(sessions, (ANNA, sent.message_id))
    server.chats.make_older(ANNA, sent.message_id, timedelta(hours=49))

    async with sender_to(server, redis_url) as sender:
        await ForgottenMessages(engine, sender).step()

    (shown,) = server.edited
    assert (shown.message_id, shown.has_spoiler) == (sent.message_id, False)
    assert shown.photo not in (None, PHOTO.data)
    assert await listed(sessions) == []


async def test_empty_pictures_come_no_faster_than_telegram_allows_and_hold_up_no_other_chat(
    engine: AsyncEngine, server: SandboxTelegram, sessions: Sessions, redis_url: str
) -> None:
    async with sender_to(server, redis_url) as sender:
        for _ in range(3):
            assert not await sender.wait_s(ANNA, reserves=True)
            sent = await sender.send_photo(PHOTO)
            server.chats.make_older(ANNA, sent.message_id, timedelta(hours=49))
            await put(sessions, (ANNA, sent.message_id))
        await put(sessions, (BORIS, 1))

        await ForgottenMessages(engine, sender).step()

    assert server.edited == []
    assert [chat_id for chat_id, _ in await listed(sessions)] == [ANNA] * 3


async def test_a_flood_wait_of_pictures_holds_for_forgotten_ones_too(
    engine: AsyncEngine, server: SandboxTelegram, sessions: Sessions, redis_url: str
) -> None:
    server.script(Trouble.flood(60), method="sendPhoto")
    await put(sessions, (ANNA, 1))
    async with sender_to(server, redis_url) as sender:
        with suppress(FloodWait):
            await sender.send_photo(PHOTO)

        await ForgottenMessages(engine, sender).step()

    assert [call.method for call in server.calls] == ["sendPhoto"]
    assert await listed(sessions) == [(ANNA, 1)]
