"""Each end without a picture is told in the chat: once, in place of the status message."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import messages
from chatflow_hook.tables import State
from imagegen.delivery.pacing import SendLimits
from imagegen.pipeline.end_notices import ToldEnds
from imagegen.sandbox.telegram import Trouble
from tests.support import conversations, newer_version
from tests.support.conversations import Sessions
from tests.support.told_chat import ANNA, ToldChat, told_chat

GROUP = -100_500
FAILED = messages.shipped().sentence(State.FAILED, code=None, language="en")
CANCELLED = messages.shipped().sentence(State.CANCELLED, code=None, language="en")


@pytest.fixture
async def chat(engine: AsyncEngine, sessions: Sessions, redis_url: str) -> AsyncIterator[ToldChat]:
    async with told_chat(engine, sessions, redis_url) as chat:
        yield chat


@pytest.mark.parametrize("state", sorted(messages.WITHOUT_PICTURE - {State.CANCELLED}))
@pytest.mark.parametrize("language", ["en", "ru"])
async def test_what_a_person_asked_for_says_how_it_ended_in_their_language(
    chat: ToldChat, state: State, language: str
) -> None:
    request_id = await chat.put(language=language, reply_to_message_id=None)
    await chat.end(request_id, state, error_code="too_old")

    await chat.notices().step()
    await chat.notices().step()

    sentence = messages.shipped().sentence(state, code="too_old", language=language)
    assert chat.texts() == [sentence]


async def test_it_takes_the_place_of_the_status_message(chat: ToldChat) -> None:
    request_id = await chat.put()
    await chat.with_status(request_id)
    await chat.end(request_id, State.FAILED)

    await chat.notices().tell(request_id)

    assert chat.texts() == [FAILED]
    (message,) = chat.server.chats.current[ANNA].values()
    assert message.buttons == []


async def test_a_status_message_that_is_gone_becomes_a_message(chat: ToldChat) -> None:
    request_id = await chat.put()
    message_id = await chat.with_status(request_id)
    await chat.sender.delete(ANNA, message_id)
    await chat.end(request_id, State.FAILED)

    await chat.notices().tell(request_id)

    assert chat.texts() == [FAILED]


async def test_a_preview_is_not_left_behind(chat: ToldChat) -> None:
    request_id = await chat.put()
    progress = await chat.progress(request_id, shows_previews=True)
    await progress.show_text()
    await chat.preview(progress)
    await chat.end(request_id, State.REFUSED)

    await chat.notices().tell(request_id)

    refused = messages.shipped().sentence(State.REFUSED, code=None, language="en")
    assert chat.texts() == [refused]


async def test_who_cancels_sees_it_in_the_status_message_and_gets_no_other(
    chat: ToldChat,
) -> None:
    with_status, without = await chat.put(number=1), await chat.put(number=2)
    await chat.with_status(with_status)
    for request_id in (with_status, without):
        await chat.end(request_id, State.CANCELLED)

    await chat.notices().step()

    assert chat.texts() == [CANCELLED]


async def test_a_file_for_which_somebody_has_pressed_says_how_it_ended(chat: ToldChat) -> None:
    request_id = await chat.put(kind="file")
    await chat.end(request_id, State.FAILED)

    await chat.notices().tell(request_id)

    assert chat.texts() == [FAILED]


@pytest.mark.parametrize("kind", ["automatic", "cover"])
async def test_what_nobody_asked_for_fails_silently(chat: ToldChat, kind: str) -> None:
    request_id = await chat.put(kind=kind)
    await chat.with_status(request_id)
    await chat.end(request_id, State.FAILED)

    await chat.notices().step()

    assert chat.texts() == []


@pytest.mark.parametrize(("told", "texts"), [("all", [FAILED]), ("off", [])])
async def test_a_setting_tells_all_ends_or_none(
    chat: ToldChat, told: ToldEnds, texts: list[str]
) -> None:
    request_id = await chat.put(kind="automatic" if told == "all" else "asked")
    await chat.end(request_id, State.FAILED)

    await chat.notices(told).step()

    assert chat.texts() == texts


async def test_an_automatic_one_that_gave_way_is_silent_with_every_setting(chat: ToldChat) -> None:
    request_id = await chat.put(kind="automatic")
    await chat.with_status(request_id)
    await chat.end(request_id, State.CANCELLED)

    await chat.notices("all").tell(request_id)

    assert chat.texts() == []


async def test_in_a_group_where_the_bot_may_the_asker_alone_is_told(chat: ToldChat) -> None:
    chat.server.promote(GROUP)
    request_id = await chat.put(chat_id=GROUP, chat_type="supergroup")
    await chat.with_status(request_id, chat_id=GROUP)
    await chat.end(request_id, State.FAILED)

    await chat.notices().tell(request_id)

    asker, other = (chat.server.person(user, chat_id=GROUP) for user in (ANNA, 7))
    assert [message.text for message in asker.messages()] == [FAILED]
    assert other.messages() == []


async def test_in_other_groups_the_end_is_told_to_all(chat: ToldChat) -> None:
    request_id = await chat.put(chat_id=GROUP, chat_type="supergroup")
    await chat.end(request_id, State.FAILED)

    await chat.notices().tell(request_id)

    assert chat.texts(GROUP) == [FAILED]


@pytest.mark.parametrize("trouble", [Trouble.flood(1), Trouble.restarting()])
async def test_an_end_that_cannot_be_told_now_is_told_later(
    engine: AsyncEngine, sessions: Sessions, redis_url: str, trouble: Trouble
) -> None:
    async with told_chat(engine, sessions, redis_url) as chat:
        request_id = await chat.put()
        await chat.end(request_id, State.FAILED)
        chat.server.script(trouble)
        await chat.notices().step()
        before = chat.texts()
        await chat.pauses_are_over()

        await chat.notices().step()

    assert (before, chat.texts()) == ([], [FAILED])


async def test_an_end_whose_answer_was_lost_is_not_told_twice(chat: ToldChat) -> None:
    request_id = await chat.put()
    await chat.end(request_id, State.FAILED)
    chat.server.script(Trouble.drop(is_accepted=True), method="sendMessage")

    await chat.notices().step()
    await chat.notices().step()

    assert chat.texts() == [FAILED]


async def test_a_message_in_place_of_a_status_message_that_is_gone_is_not_sent_twice(
    chat: ToldChat,
) -> None:
    request_id = await chat.put()
    message_id = await chat.with_status(request_id)
    await chat.sender.delete(ANNA, message_id)
    await chat.end(request_id, State.FAILED)
    chat.server.script(Trouble.drop(is_accepted=True), method="sendMessage")

    await chat.notices().step()
    await chat.notices().step()

    assert chat.texts() == [FAILED]


@pytest.mark.parametrize(
    ("method", "trouble", "left"),
    [
        ("sendMessage", Trouble.drop(is_accepted=True), []),
        ("deleteMessage", Trouble.restarting(), ["Drawing…"]),
    ],
)
async def test_an_asker_in_a_group_is_not_told_twice(
    chat: ToldChat, method: str, trouble: Trouble, left: list[str]
) -> None:
    chat.server.promote(GROUP)
    request_id = await chat.put(chat_id=GROUP, chat_type="supergroup")
    await chat.with_status(request_id, chat_id=GROUP)
    await chat.end(request_id, State.FAILED)
    chat.server.script(trouble, method=method)

    await chat.notices().step()
    await chat.notices().step()

    asker = chat.server.person(ANNA, chat_id=GROUP)
    assert [message.text for message in asker.messages()] == [*left, FAILED]


async def test_an_edit_whose_answer_was_lost_is_repeated(chat: ToldChat) -> None:
    request_id = await chat.put()
    await chat.with_status(request_id)
    await chat.end(request_id, State.FAILED)
    chat.server.script(Trouble.drop(), method="editMessageText")

    await chat.notices().step()
    await chat.notices().step()

    assert chat.texts() == [FAILED]


async def test_a_status_message_beside_a_delivered_picture_is_deleted(chat: ToldChat) -> None:
    request_id = await chat.put()
    message_id = await chat.with_status(request_id)
    await chat.end(request_id, State.DELIVERED, telegram_message_id=message_id + 1)

    await chat.notices().step()

    assert chat.texts() == []


async def test_a_picture_in_the_place_of_its_status_message_stays(chat: ToldChat) -> None:
    request_id = await chat.put()
    message_id = await chat.with_status(request_id)
    await chat.end(request_id, State.DELIVERED, telegram_message_id=message_id)

    await chat.notices().step()

    assert chat.texts() == ["Drawing…"]


async def test_an_end_that_only_a_newer_version_knows_is_left_to_it(chat: ToldChat) -> None:
    request = await newer_version.row(
        chat.sessions, state=newer_version.FINAL_STATE, is_ended=True, status_message_id=7
    )

    await chat.notices().tell(request.id)

    assert (await conversations.row(chat.sessions, request.id)).chat_told_at is None
    assert chat.server.calls == []


async def test_ends_use_what_progress_has_left_of_the_limits(
    engine: AsyncEngine, sessions: Sessions, redis_url: str
) -> None:
    async with told_chat(engine, sessions, redis_url, limits=SendLimits()) as chat:
        request_id = await chat.put()
        progress = await chat.progress(request_id)
        await progress.show_text()
        progress.set_share(0.5)
        await progress.show_text()
        calls = len(chat.server.calls)
        await chat.end(request_id, State.FAILED)

        await chat.notices().tell(request_id)

    assert calls == 1
    assert chat.texts() == [FAILED]
