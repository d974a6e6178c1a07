"""A person in a chat: writes, presses, stops, sees; in Python and over HTTP."""

import asyncio
import json

import pytest
from aiogram import Dispatcher
from aiogram.types import Message

from imagegen.sandbox.telegram import NothingToPress, NothingToWrite, SandboxTelegram
from tests.support.aiogram_bot import polling
from tests.support.bot_api import BotApi, bot_api
from tests.support.patience import PATIENCE_S

ANNA = 1001
BORIS = 1002
GROUP = -1000055
KEYBOARD = {"inline_keyboard": [[{"text": "More", "callback_data": "more:7"}]]}


async def test_a_press_comes_with_its_message_and_its_answer_goes_back(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    anna = telegram.person(ANNA)
    sent = await api.call("sendMessage", chat_id=ANNA, text="hi", reply_markup=KEYBOARD)
    pressed = anna.press(sent["message_id"], "More")

    [update] = await api.call("getUpdates")
    query = update["callback_query"]
    await api.call("answerCallbackQuery", callback_query_id=query["id"], text="No", show_alert=True)

    answer = await asyncio.wait_for(anna.answer(pressed), 5)
    assert (query["data"], query["from"]["id"]) == ("more:7", ANNA)
    assert query["message"]["reply_markup"] == KEYBOARD
    assert (answer.text, answer.show_alert) == ("No", True)


async def test_what_is_not_there_cannot_be_pressed(telegram: SandboxTelegram, api: BotApi) -> None:
    sent = await api.call("sendMessage", chat_id=ANNA, text="hi", reply_markup=KEYBOARD)

    with pytest.raises(NothingToPress, match="has no button 'Less'"):
        telegram.person(ANNA).press(sent["message_id"], "Less")
    with pytest.raises(NothingToPress, match="there is no message"):
        telegram.person(BORIS).press(sent["message_id"], "More")
    with pytest.raises(NothingToPress, match="no draft 7"):
        telegram.person(ANNA).stop(7)


async def test_an_answer_to_no_press_is_refused(api: BotApi) -> None:
    assert await api.refusal("answerCallbackQuery", callback_query_id="7") == (
        "Bad Request: query is too old and response timeout expired or query ID is invalid"
    )


async def test_a_draft_is_shown_until_it_is_stopped(telegram: SandboxTelegram, api: BotApi) -> None:
    await api.call("sendMessageDraft", chat_id=ANNA, draft_id=7, text="I dra", can_stop=True)
    draft = telegram.chats.drafts[ANNA, 7]

    telegram.person(ANNA).stop(7)

    [update] = await api.call("getUpdates")
    assert draft.text == "I dra"
    assert update["stopped_message_generation"]["draft_id"] == 7
    assert update["stopped_message_generation"]["chat"]["id"] == ANNA
    assert telegram.chats.drafts == {}


async def test_a_stopped_draft_may_stay(telegram: SandboxTelegram, api: BotApi) -> None:
    fields = {"can_stop": True, "keep_on_stop": True}
    await api.call("sendMessageDraft", chat_id=ANNA, draft_id=7, text="I", **fields)

    telegram.person(ANNA).stop(7)

    assert (ANNA, 7) in telegram.chats.drafts


async def test_a_message_ends_the_draft(telegram: SandboxTelegram, api: BotApi) -> None:
    await api.call("sendMessageDraft", chat_id=ANNA, draft_id=7, text="I")

    await api.call("sendMessage", chat_id=ANNA, text="I draw")

    assert telegram.chats.drafts == {}


async def test_a_draft_that_is_not_renewed_is_gone() -> None:
    async with (
        SandboxTelegram(draft_lifetime_s=0.01) as telegram,
        bot_api(telegram) as api,
        api.events(f"{ANNA}/events?after=0") as events,
        asyncio.timeout(5),
    ):
        await api.call("sendMessageDraft", chat_id=ANNA, draft_id=7, text="")
        names = [(await anext(events))[0] for _ in range(2)]

    assert names == ["draft", "draft_gone"]


async def test_a_draft_needs_a_private_chat_that_takes_drafts(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    telegram.refuse_drafts(BORIS)

    for chat_id in (GROUP, BORIS):
        refusal = await api.refusal("sendMessageDraft", chat_id=chat_id, draft_id=7, text="I")
        assert refusal == "Bad Request: TEXTDRAFT_PEER_INVALID"


async def test_an_ephemeral_answer_to_a_press_is_seen_by_one_member(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    anna = telegram.person(ANNA, chat_id=GROUP)
    boris = telegram.person(BORIS, chat_id=GROUP)
    sent = await api.call("sendMessage", chat_id=GROUP, text="hi", reply_markup=KEYBOARD)
    query = anna.press(sent["message_id"], "More")

    parameters = {"receiver_user_id": ANNA, "callback_query_id": query}
    told = await api.call(
        "sendMessage", chat_id=GROUP, text="Not yet", ephemeral_message_parameters=parameters
    )
    named = {"chat_id": GROUP, "receiver_user_id": ANNA}
    named["ephemeral_message_id"] = told["ephemeral_message_id"]
    edited = await api.call("editEphemeralMessageText", **named, text="Soon")

    assert (told["message_id"], told["receiver_user"]["id"], edited) == (0, ANNA, True)
    assert [message.text for message in anna.messages()] == ["hi", "Soon"]
    assert [message.text for message in boris.messages()] == ["hi"]
    assert await api.call("deleteEphemeralMessage", **named) is True
    assert [message.text for message in anna.messages()] == ["hi"]


async def test_an_ephemeral_message_may_stand_in_place_of_the_one_with_the_button(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    anna = telegram.person(ANNA, chat_id=GROUP)
    sent = await api.call("sendMessage", chat_id=GROUP, text="hi", reply_markup=KEYBOARD)
    parameters = {
        "receiver_user_id": ANNA,
        "callback_query_id": anna.press(sent["message_id"], "More"),
        "replace_callback_query_message": True,
    }

    await api.call(
        "sendMessage", chat_id=GROUP, text="to Anna", ephemeral_message_parameters=parameters
    )

    assert [message.text for message in anna.messages()] == ["to Anna"]
    others = telegram.person(BORIS, chat_id=GROUP).messages()
    assert [message.text for message in others] == ["hi"]


async def test_an_ephemeral_message_needs_a_press_or_a_command_or_an_administrator(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    fields = {"chat_id": GROUP, "text": "Not yet", "receiver_user_id": ANNA}
    refused = await api.refusal("sendMessage", **fields)
    telegram.promote(GROUP)

    told = await api.call("sendMessage", **fields)

    assert refused == "Bad Request: MESSAGE_NOT_COMMAND"
    assert told["receiver_user"]["id"] == ANNA


async def test_an_ephemeral_command_is_seen_by_the_bot_alone(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    commands = [{"command": "photo", "description": "A photo", "is_ephemeral": True}]
    await api.call("setMyCommands", commands=commands)
    number = telegram.person(ANNA, chat_id=GROUP).write("/photo sea")

    [update] = await api.call("getUpdates")
    reply = {"ephemeral_message_id": number}
    await api.call(
        "sendMessage",
        chat_id=GROUP,
        text="Not yet",
        receiver_user_id=ANNA,
        reply_parameters=reply,
    )

    assert update["message"]["message_id"] == 0
    assert update["message"]["ephemeral_message_id"] == number
    assert telegram.person(BORIS, chat_id=GROUP).messages() == []
    assert len(telegram.person(ANNA, chat_id=GROUP).messages()) == 2


async def test_a_person_over_http_writes_presses_and_stops(api: BotApi) -> None:
    chat = f"/chats/{ANNA}"
    _, written = await api.sandbox("POST", f"{chat}/messages", {"text": "hello", "name": "Anna"})
    sent = await api.call("sendMessage", chat_id=ANNA, text="hi", reply_markup=KEYBOARD)
    await api.call("sendMessageDraft", chat_id=ANNA, draft_id=7, text="I", can_stop=True)
    body = {"message_id": sent["message_id"], "button": "more:7"}
    _, pressed = await api.sandbox("POST", f"{chat}/presses", body)
    status, _ = await api.sandbox("POST", f"{chat}/stops", {"draft_id": 7})

    updates = await api.call("getUpdates")

    kinds = [[*update][1] for update in updates]
    assert kinds == ["message", "callback_query", "stopped_message_generation"]
    assert updates[0]["message"]["message_id"] == written["message_id"]
    assert updates[0]["message"]["from"]["first_name"] == "Anna"
    assert updates[1]["callback_query"]["id"] == pressed["callback_query_id"]
    assert status == 200


async def test_a_chat_is_read_over_http_as_one_person_sees_it(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    telegram.promote(GROUP)
    await api.call("sendMessage", chat_id=GROUP, text="to all")
    await api.call("sendMessage", chat_id=GROUP, text="to Anna", receiver_user_id=ANNA)

    seen = [
        [message["text"] for message in (await api.sandbox("GET", path))[1]["messages"]]
        for path in (
            f"/chats/{GROUP}/messages",
            f"/chats/{GROUP}/messages?user_id={ANNA}",
            f"/chats/{GROUP}/messages?user_id={BORIS}",
        )
    ]
    _, listed = await api.sandbox("GET", "/chats")

    assert seen == [["to all", "to Anna"], ["to all", "to Anna"], ["to all"]]
    assert [chat["last_message"]["text"] for chat in listed["chats"]] == ["to all"]


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("messages", {}, 400, "text: Field required"),
        ("messages", {"text": 7}, 400, "text: Input should be a valid string"),
        ("presses", {"message_id": 9, "button": "a"}, 404, "there is no message 9 in chat 1001"),
        ("stops", {"draft_id": 9}, 404, "there is no draft 9 with a Stop button"),
    ],
)
async def test_a_wrong_body_is_told_in_a_sentence(
    api: BotApi, path: str, body: object, status: int, error: str
) -> None:
    answer = await api.sandbox("POST", f"/chats/{ANNA}/{path}", body)

    assert answer == (status, {"error": error})


async def test_the_events_of_a_chat_are_streamed_from_where_a_page_left_off(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    anna = telegram.person(ANNA)
    anna.write("hello")
    _, page = await api.sandbox("GET", f"/chats/{ANNA}/messages")
    sent = await api.call("sendMessage", chat_id=ANNA, text="hi", reply_markup=KEYBOARD)
    named = {"chat_id": ANNA, "message_id": sent["message_id"]}

    async with api.events(f"{ANNA}/events?user_id={ANNA}&after={page['last_event']}") as events:
        await api.call("sendChatAction", chat_id=ANNA, action="upload_photo")
        await api.call("setMessageReaction", **named, reaction=[{"type": "emoji", "emoji": "👍"}])
        query = anna.press(sent["message_id"], "More")
        await api.call("answerCallbackQuery", callback_query_id=query, text="No")
        await api.call("editMessageText", **named, text="there")
        await api.call("deleteMessage", **named)
        async with asyncio.timeout(5):
            came = [await anext(events) for _ in range(6)]

    assert [name for name, _ in came] == [
        "message",
        "chat_action",
        "reaction",
        "callback_answer",
        "edited",
        "deleted",
    ]
    assert json.loads(came[1][1]) == {"action": "upload_photo"}
    assert json.loads(came[4][1])["text"] == "there"


async def test_a_page_that_missed_too_much_is_told_to_load_anew(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    for _ in range(501):
        telegram.person(ANNA).write("hello")

    async with api.events(f"{ANNA}/events?after=0") as events, asyncio.timeout(5):
        assert await anext(events) == ("reload", "{}")


@pytest.mark.parametrize("text", ["", " \n", "x" * 4097], ids=["empty", "blank", "too long"])
async def test_a_person_writes_no_empty_message_and_none_that_is_too_long(
    telegram: SandboxTelegram, api: BotApi, text: str
) -> None:
    status, answer = await api.sandbox("POST", f"/chats/{ANNA}/messages", {"text": text})

    with pytest.raises(NothingToWrite):
        telegram.person(ANNA).write(text)
    assert (status, list(answer)) == (400, ["error"])
    assert telegram.person(ANNA).messages() == []


async def test_what_a_person_writes_in_a_topic_is_answered_in_the_topic(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    body = {"text": "Hello", "user_id": ANNA, "message_thread_id": 5}
    talk = Dispatcher()

    @talk.message()
    async def answer(message: Message) -> None:
        await message.answer("Hello, topic")

    async with polling(talk, telegram):
        await api.sandbox("POST", f"/chats/{GROUP}/messages", body)
        [sent] = await telegram.wait_for(1, timeout=PATIENCE_S)

    written, _ = (
        telegram.chats.described(one) for one in telegram.person(ANNA, chat_id=GROUP).messages()
    )
    assert sent.message_thread_id == 5
    assert written["is_topic_message"] is True
    assert (written["chat"]["type"], written["chat"]["is_forum"]) == ("supergroup", True)
    assert (await api.call("getChat", chat_id=GROUP))["is_forum"] is True
