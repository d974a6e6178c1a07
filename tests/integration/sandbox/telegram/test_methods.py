"""Edits, albums, copies, deletions, files: what a bot that sends pictures calls besides."""

import json
from datetime import timedelta
from typing import Any

import pytest

from imagegen.sandbox.telegram import FloodLimits, SandboxTelegram
from tests.support.bot_api import BotApi, bot_api, png

ANNA, BORIS = 1001, 1002
GROUP = -1000055
KEYBOARD = {"inline_keyboard": [[{"text": "More", "callback_data": "more"}]]}


async def photo(api: BotApi, **fields: Any) -> dict[str, Any]:
    sent = await api.call("sendPhoto", chat_id=ANNA, photo=png(), **fields)
    assert isinstance(sent, dict)
    return sent


async def test_a_caption_and_a_keyboard_are_edited(api: BotApi) -> None:
    sent = await photo(api, caption="here")
    named = {"chat_id": ANNA, "message_id": sent["message_id"]}

    captioned = await api.call(
        "editMessageCaption", **named, caption="<i>there</i>", parse_mode="HTML"
    )
    pressed = await api.call("editMessageReplyMarkup", **named, reply_markup=KEYBOARD)

    assert captioned["caption"] == "there"
    assert captioned["caption_entities"] == [{"type": "italic", "offset": 0, "length": 5}]
    assert captioned["edit_date"] >= captioned["date"]
    assert (pressed["caption"], pressed["reply_markup"]) == ("there", KEYBOARD)
    assert pressed["photo"] == sent["photo"]


async def test_an_edit_keeps_what_it_cannot_set(api: BotApi) -> None:
    status = await api.call("sendMessage", chat_id=ANNA, text="drawing", protect_content=True)
    media = json.dumps({"type": "photo", "media": "attach://file"})

    edited = await api.call(
        "editMessageMedia", chat_id=ANNA, message_id=status["message_id"], media=media, file=png()
    )

    assert edited["has_protected_content"] is True
    assert "text" not in edited


@pytest.mark.parametrize(
    ("method", "fields", "description"),
    [
        ("editMessageText", {"text": "a"}, "there is no text in the message to edit"),
        ("editMessageCaption", {"caption": "here"}, "message is not modified"),
        ("editMessageReplyMarkup", {}, "message is not modified"),
        ("editMessageReplyMarkup", {"message_id": 99}, "message to edit not found"),
        ("editMessageMedia", {"media": {"type": "photo"}}, "there is no photo in the request"),
        ("editMessageCaption", {"caption": "a" * 1025}, "message caption is too long"),
    ],
)
async def test_an_edit_that_telegram_refuses_is_refused(
    api: BotApi, method: str, fields: dict[str, Any], description: str
) -> None:
    sent = await photo(api, caption="here")

    named = {"chat_id": ANNA, "message_id": sent["message_id"], **fields}

    assert description in await api.refusal(method, **named)


async def test_a_text_has_no_caption_to_edit_and_a_persons_message_cannot_be_edited(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    sent = await api.call("sendMessage", chat_id=ANNA, text="hi")
    written = telegram.person(ANNA).write("hello")

    refusals = [
        await api.refusal("editMessageCaption", chat_id=ANNA, message_id=number, caption="a")
        for number in (sent["message_id"], written)
    ]

    assert refusals == [
        "Bad Request: there is no caption in the message to edit",
        "Bad Request: message can't be edited",
    ]


async def test_an_album_arrives_as_one_group(telegram: SandboxTelegram, api: BotApi) -> None:
    album = [
        {"type": "photo", "media": "attach://one", "caption": "both"},
        {"type": "photo", "media": "attach://two", "has_spoiler": True},
    ]

    sent = await api.call(
        "sendMediaGroup", chat_id=ANNA, media=json.dumps(album), one=png("red"), two=png("blue")
    )

    assert len({message["media_group_id"] for message in sent}) == 1
    assert [message.photo for message in telegram.sent] == [png("red"), png("blue")]
    assert [message.has_spoiler for message in telegram.sent] == [False, True]


@pytest.mark.parametrize(
    ("album", "description"),
    [
        ([], "there are no messages to send"),
        ([{"type": "photo", "media": "x"}] * 11, "too many messages to send as an album"),
        ([{"type": "photo"}, {"type": "document"}], "can't use the media of the specified type"),
        ([{"type": "photo", "media": "x"}] * 2, "wrong file identifier/HTTP URL specified"),
        ({"type": "photo"}, "expected an Array of InputMedia"),
    ],
)
async def test_an_album_that_telegram_refuses_leaves_nothing(
    telegram: SandboxTelegram, api: BotApi, album: object, description: str
) -> None:
    assert description in await api.refusal("sendMediaGroup", chat_id=ANNA, media=album)
    assert telegram.sent == []


async def test_a_copy_has_no_sign_of_where_it_came_from(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    sent = await photo(api, caption="here")
    named = {"chat_id": GROUP, "from_chat_id": ANNA}

    copied = await api.call("copyMessage", **named, message_id=sent["message_id"], caption="there")

    assert copied == {"message_id": telegram.sent[1].message_id}
    assert (telegram.sent[1].photo, telegram.sent[1].caption) == (png(), "there")
    assert await api.refusal("copyMessage", **named, message_id=99) == (
        "Bad Request: message to copy not found"
    )


async def test_a_protected_message_cannot_be_copied(api: BotApi) -> None:
    sent = await photo(api, protect_content="true")
    named = {"chat_id": GROUP, "from_chat_id": ANNA, "message_id": sent["message_id"]}

    assert await api.refusal("copyMessage", **named) == "Bad Request: message can't be copied"


async def test_a_message_can_be_deleted_for_48_hours(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    old, new = [await photo(api) for _ in range(2)]
    telegram.make_older(ANNA, old["message_id"], timedelta(hours=49))

    refusal = await api.refusal("deleteMessage", chat_id=ANNA, message_id=old["message_id"])
    await api.call("deleteMessages", chat_id=ANNA, message_ids=[new["message_id"], 99])

    assert refusal == "Bad Request: message can't be deleted for everyone"
    assert [*telegram.chats.current[ANNA]] == [old["message_id"]]


async def test_what_people_wrote_can_be_deleted_in_private_and_by_administrators(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    in_group, in_private = telegram.write(GROUP, "hello"), telegram.write(ANNA, "hello")

    await api.call("deleteMessage", chat_id=ANNA, message_id=in_private)
    refusal = await api.refusal("deleteMessage", chat_id=GROUP, message_id=in_group)
    telegram.promote(GROUP)
    await api.call("deleteMessage", chat_id=GROUP, message_id=in_group)

    assert refusal == "Bad Request: message can't be deleted"


async def test_a_file_is_downloaded_as_it_was_sent(api: BotApi) -> None:
    sent = await photo(api)

    file = await api.call("getFile", file_id=sent["photo"][-1]["file_id"])

    assert await api.download(file["file_path"]) == png()
    assert file["file_size"] == len(png())
    assert await api.refusal("getFile", file_id="x") == "Bad Request: invalid file_id"


async def test_a_large_file_cannot_be_downloaded(api: BotApi) -> None:
    sent = await api.call("sendDocument", chat_id=ANNA, document=b"x" * (20 * 1024 * 1024 + 1))

    refusal = await api.refusal("getFile", file_id=sent["document"]["file_id"])

    assert refusal == "Bad Request: file is too big"


async def test_the_commands_are_kept(api: BotApi) -> None:
    commands = [{"command": "photo", "description": "A photo"}]

    await api.call("setMyCommands", commands=commands)

    assert await api.call("getMyCommands") == commands
    assert await api.refusal("setMyCommands", commands=[{"command": "Foto"}]) == (
        "Bad Request: BOT_COMMAND_INVALID"
    )
    await api.call("deleteMyCommands")
    assert await api.call("getMyCommands") == []


async def test_a_person_is_shown_the_commands_of_the_narrowest_scope_in_their_language(
    telegram: SandboxTelegram, api: BotApi
) -> None:
    async def announce(name: str, **of_whom: Any) -> None:
        commands = [{"command": name, "description": name}]
        await api.call("setMyCommands", commands=commands, **of_whom)

    def shown(chat_id: int, language: str, user_id: int = ANNA) -> list[str]:
        commands = telegram.chats.commands.shown(
            chat_id=chat_id, user_id=user_id, language=language
        )
        return [each["command"] for each in commands]

    await announce("en")
    await announce("ru", language_code="ru")
    await announce("private", scope={"type": "all_private_chats"}, language_code="ru")
    await announce("groups", scope={"type": "all_group_chats"})
    await announce("admins", scope={"type": "all_chat_administrators"})
    await announce("member", scope={"type": "chat_member", "chat_id": GROUP, "user_id": ANNA})
    await announce("chat", scope={"type": "chat", "chat_id": str(BORIS)})

    assert (shown(ANNA, "en"), shown(ANNA, "ru-RU")) == (["en"], ["private"])
    assert shown(BORIS, "ru", user_id=BORIS) == ["chat"]
    assert (shown(GROUP, "ru"), shown(GROUP, "ru", user_id=BORIS)) == (["member"], ["groups"])
    assert [each["command"] for each in await api.call("getMyCommands", language_code="ru")] == [
        "ru"
    ]
    assert await api.call("getMyCommands", scope={"type": "all_private_chats"}) == []
    _, page = await api.sandbox("GET", f"/chats/{ANNA}/messages?user_id={ANNA}&language_code=ru")
    assert [each["command"] for each in page["commands"]] == ["private"]

    await api.call("deleteMyCommands", scope={"type": "all_private_chats"}, language_code="ru")

    assert shown(ANNA, "ru") == ["ru"]


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"language_code": "russian"}, "invalid language code specified"),
        ({"scope": {"type": "planet"}}, "can't parse BotCommandScope: Unsupported type specified"),
        ({"scope": {"type": "chat"}}, "can't parse BotCommandScope: Empty chat_id specified"),
        ({"scope": {"type": "chat", "chat_id": 404}}, "chat not found"),
    ],
    ids=["language", "scope", "no chat", "chat"],
)
async def test_commands_of_nobody_are_refused(
    telegram: SandboxTelegram, api: BotApi, fields: dict[str, Any], refusal: str
) -> None:
    telegram.know(ANNA)

    for method in ("setMyCommands", "getMyCommands", "deleteMyCommands"):
        assert await api.refusal(method, **fields) == f"Bad Request: {refusal}"


async def test_a_chat_says_what_it_is(telegram: SandboxTelegram, api: BotApi) -> None:
    telegram.know(ANNA, GROUP)

    types = [(await api.call("getChat", chat_id=chat))["type"] for chat in (ANNA, GROUP)]

    assert types == ["private", "supergroup"]
    assert await api.refusal("getChat", chat_id=7) == "Bad Request: chat not found"


@pytest.mark.parametrize(
    ("reaction", "description"),
    [
        ([{"type": "emoji", "emoji": "👍"}] * 2, "REACTIONS_TOO_MANY"),
        ([{"type": "emoji"}], "REACTION_INVALID"),
    ],
)
async def test_a_wrong_reaction_is_refused(api: BotApi, reaction: object, description: str) -> None:
    sent = await photo(api)
    named = {"chat_id": ANNA, "message_id": sent["message_id"]}

    refusal = await api.refusal("setMessageReaction", **named, reaction=reaction)

    assert refusal == f"Bad Request: {description}"


@pytest.mark.parametrize(
    ("markup", "description"),
    [
        ("{", "can't parse reply keyboard markup JSON object"),
        ("[]", "object expected as reply markup"),
        ({"inline_keyboard": [{}]}, 'field "inline_keyboard" of the InlineKeyboardMarkup must be'),
        ({"inline_keyboard": [[{"text": "a"}]]}, "Text buttons are unallowed"),
        ({"inline_keyboard": [[{"text": "a", "callback_data": "x" * 65}]]}, "BUTTON_DATA_INVALID"),
    ],
)
async def test_a_wrong_keyboard_is_refused(
    telegram: SandboxTelegram, api: BotApi, markup: object, description: str
) -> None:
    refusal = await api.refusal("sendMessage", chat_id=ANNA, text="hi", reply_markup=markup)

    assert description in refusal
    assert telegram.sent == []


@pytest.mark.parametrize(
    ("fields", "description"),
    [
        ({"text": " \n "}, "message text is empty"),
        ({"text": "<b></b>", "parse_mode": "HTML"}, "message text is empty"),
        ({"text": "a" * 4097}, "message is too long"),
        ({"text": "a", "parse_mode": "BBCode"}, "unsupported parse_mode"),
        ({"text": "a", "chat_id": ""}, "chat_id is empty"),
        ({"text": "a", "chat_id": "@news"}, "chat not found"),
    ],
)
async def test_a_text_that_telegram_refuses_is_refused(
    api: BotApi, fields: dict[str, Any], description: str
) -> None:
    refusal = await api.refusal("sendMessage", **{"chat_id": ANNA, **fields})

    assert refusal == f"Bad Request: {description}"


async def test_the_length_is_that_of_the_text_without_markup(api: BotApi) -> None:
    text = f"<b>{'a' * 4096}</b>"

    assert await api.call("sendMessage", chat_id=ANNA, text=text, parse_mode="HTML")


async def test_what_comes_too_often_is_refused_and_told_when_to_come_again() -> None:
    limits = FloodLimits(chat_burst=2)
    async with SandboxTelegram(flood_limits=limits) as telegram, bot_api(telegram) as api:
        for _ in range(2):
            await api.call("sendMessage", chat_id=ANNA, text="hi")
        refused = await api.answer("sendMessage", chat_id=ANNA, text="hi")
        await api.call("sendChatAction", chat_id=ANNA, action="typing")

    assert (refused["error_code"], refused["parameters"]) == (429, {"retry_after": 1})
    assert len(telegram.sent) == 2


async def test_a_late_answer_comes_after_the_photo(telegram: SandboxTelegram, api: BotApi) -> None:
    await api.sandbox("POST", "/faults", {"faults": ["late:seconds=0.05,method=sendPhoto"]})

    sent = await photo(api)

    assert telegram.sent[0].message_id == sent["message_id"]
    assert await api.sandbox("GET", "/faults") == (200, {"waiting": []})


async def test_a_fault_may_happen_for_ever_until_it_is_removed(api: BotApi) -> None:
    await api.sandbox("POST", "/faults", {"faults": ["server-error:times=ever,chat=1001"]})

    for _ in range(3):
        assert await api.refusal("sendMessage", chat_id=ANNA, text="a") == "Internal Server Error"
    await api.sandbox("DELETE", "/faults")

    assert await api.call("sendMessage", chat_id=ANNA, text="a")
