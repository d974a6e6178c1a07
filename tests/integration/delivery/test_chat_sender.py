"""What one worker sends stays below the limits that the sandbox Telegram enforces, photos first."""

from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from imagegen.delivery.chat_sender import ChatSender
from imagegen.delivery.errors import FloodWait, MessageGone, ToldLater
from imagegen.delivery.message import PhotoMessage, TextMessage
from imagegen.sandbox.telegram import FloodLimits, SandboxTelegram, Trouble
from tests.support.pictures import png
from tests.support.told_chat import sender_to

ANNA, GROUP = 1, -100_500


def photo(chat_id: int, *, replaces: int | None = None) -> PhotoMessage:
    return PhotoMessage(
        chat_id=chat_id, data=png(), filename="a.png", width=8, height=8, replaces=replaces
    )


@pytest.fixture
async def server() -> AsyncIterator[SandboxTelegram]:
    # What a chat may get within a second is no limit of its own, but a part of its minute.
    async with SandboxTelegram(flood_limits=FloodLimits(chat_burst=20)) as server:
        yield server


@pytest.fixture
async def sender(server: SandboxTelegram, redis_url: str) -> AsyncIterator[ChatSender]:
    async with sender_to(server, redis_url) as sender:
        yield sender


@pytest.mark.parametrize(("chat_id", "texts", "all_"), [(GROUP, 10, 20), (ANNA, 1, 3)])
async def test_texts_leave_room_for_pictures_below_the_limits(
    sender: ChatSender, server: SandboxTelegram, chat_id: int, texts: int, all_: int
) -> None:
    told = 0
    for number in range(30):
        with suppress(ToldLater):
            await sender.send_text(TextMessage(chat_id=chat_id, text=f"number {number}"))
            told += 1
    while not await sender.wait_s(chat_id, reserves=True):
        await sender.send_photo(photo(chat_id))

    assert told == texts
    assert len(server.sent) == all_
    assert 429 not in {call.status for call in server.calls}


async def test_a_picture_that_may_be_sent_counts_before_it_is_sent(sender: ChatSender) -> None:
    looks = [await sender.wait_s(GROUP) for _ in range(25)]

    waits = [await sender.wait_s(GROUP, reserves=True) for _ in range(25)]

    assert not any(looks)
    assert [wait_s > 0 for wait_s in waits] == [False] * 20 + [True] * 5


async def test_a_flood_wait_of_a_text_holds_back_pictures_of_all_workers(
    sender: ChatSender, server: SandboxTelegram, redis_url: str
) -> None:
    server.script(Trouble.flood(60), method="sendMessage")
    with pytest.raises(FloodWait):
        await sender.send_text(TextMessage(chat_id=ANNA, text="hello"))

    async with sender_to(server, redis_url) as other:
        assert 59 < await other.wait_s(ANNA) <= 60


async def test_a_picture_that_is_put_into_its_message_twice_is_there_once(
    sender: ChatSender, server: SandboxTelegram
) -> None:
    message_id = await sender.send_text(TextMessage(chat_id=ANNA, text="Drawing…"))

    first = await sender.send_photo(photo(ANNA, replaces=message_id))
    assert first.file_id is not None
    again = PhotoMessage(
        chat_id=ANNA, file_id=first.file_id, filename="", width=8, height=8, replaces=message_id
    )
    second = await sender.send_photo(again)

    assert {first.message_id, second.message_id} == {message_id}
    assert len(server.chats.current[ANNA]) == 1


async def test_a_message_that_is_gone_is_told_apart(
    sender: ChatSender, server: SandboxTelegram
) -> None:
    server.migrate(GROUP, to=-100_700)

    for chat_id, message_id in ((ANNA, 999), (GROUP, 1)):
        with pytest.raises(MessageGone):
            await sender.send_photo(photo(chat_id, replaces=message_id))
