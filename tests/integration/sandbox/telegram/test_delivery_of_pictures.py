"""The sandbox's Telegram answers a real aiogram bot as the real one would."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO

import aiohttp
import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    RestartingTelegram,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.types import (
    BufferedInputFile,
    InputMediaPhoto,
    ReplyParameters,
)
from PIL import Image

from imagegen.sandbox.errors import SandboxError
from imagegen.sandbox.telegram import SandboxTelegram, Trouble

ANNA = 1001


def picture(width: int = 64, height: int = 96) -> BufferedInputFile:
    kept = BytesIO()
    Image.new("RGB", (width, height), "teal").save(kept, "PNG")
    return BufferedInputFile(kept.getvalue(), "picture.png")


def bot_for(telegram: SandboxTelegram, token: str | None = None) -> Bot:
    api = TelegramAPIServer.from_base(telegram.url)
    return Bot(token or telegram.token, session=AiohttpSession(api=api, timeout=10))


@pytest.fixture
async def telegram() -> AsyncIterator[SandboxTelegram]:
    async with SandboxTelegram() as server:
        yield server


@pytest.fixture
async def bot(telegram: SandboxTelegram) -> AsyncIterator[Bot]:
    async with bot_for(telegram) as opened:
        yield opened


async def test_a_photo_arrives_with_all_that_was_said_about_it(
    telegram: SandboxTelegram, bot: Bot
) -> None:
    question = telegram.write(ANNA, "Where are you?")

    answer = await bot.send_photo(
        ANNA,
        picture(),
        caption="At the sea",
        has_spoiler=True,
        protect_content=True,
        message_thread_id=7,
        reply_parameters=ReplyParameters(message_id=question),
    )

    [message] = telegram.sent
    assert answer.photo is not None
    assert (message.photo, message.file_id) == (picture().data, answer.photo[-1].file_id)
    assert (message.chat_id, message.message_id) == (ANNA, answer.message_id)
    assert (message.method, message.caption) == ("sendPhoto", "At the sea")
    assert (message.has_spoiler, message.protect_content) == (True, True)
    assert (message.message_thread_id, message.reply_to_message_id) == (7, question)
    assert (answer.photo[-1].width, answer.photo[-1].height) == (64, 96)


async def test_a_file_id_sends_the_photo_again(telegram: SandboxTelegram, bot: Bot) -> None:
    first = await bot.send_photo(ANNA, picture())
    assert first.photo is not None

    await bot.send_photo(ANNA + 1, first.photo[-1].file_id)

    assert telegram.sent[1].photo == picture().data
    assert telegram.sent[1].file_id == telegram.sent[0].file_id


async def test_a_document_keeps_its_name_and_bytes(telegram: SandboxTelegram, bot: Bot) -> None:
    answer = await bot.send_document(ANNA, picture(), caption="as a file")

    assert answer.document is not None
    assert answer.document.file_name == "picture.png"
    assert telegram.sent[0].document == picture().data


async def test_a_status_message_becomes_the_picture(telegram: SandboxTelegram, bot: Bot) -> None:
    status = await bot.send_message(ANNA, "drawing 0 %")

    await bot.edit_message_text("drawing 50 %", chat_id=ANNA, message_id=status.message_id)
    media = InputMediaPhoto(media=picture(), caption="here", has_spoiler=True)
    await bot.edit_message_media(media, chat_id=ANNA, message_id=status.message_id)

    assert [message.text for message in telegram.sent] == ["drawing 0 %"]
    assert [message.text for message in telegram.edited] == ["drawing 50 %", None]
    shown = telegram.chats.current[ANNA][status.message_id]
    assert (shown.photo, shown.caption, shown.has_spoiler) == (picture().data, "here", True)


async def test_an_edit_that_changes_nothing_is_refused(bot: Bot) -> None:
    status = await bot.send_message(ANNA, "drawing")

    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await bot.edit_message_text("drawing", chat_id=ANNA, message_id=status.message_id)


async def test_a_deleted_message_is_gone(telegram: SandboxTelegram, bot: Bot) -> None:
    status = await bot.send_message(ANNA, "drawing")

    await bot.delete_message(ANNA, status.message_id)

    assert telegram.chats.current[ANNA] == {}
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await bot.edit_message_text("drawn", chat_id=ANNA, message_id=status.message_id)


async def test_the_bot_learns_its_name_and_shows_that_it_draws(
    telegram: SandboxTelegram, bot: Bot
) -> None:
    me = await bot.get_me()
    await bot.send_chat_action(ANNA, "upload_photo")

    assert me.id == bot.id
    assert [(call.method, call.status) for call in telegram.calls] == [
        ("getMe", 200),
        ("sendChatAction", 200),
    ]


async def test_an_answer_to_a_message_that_is_gone_is_refused(bot: Bot) -> None:
    with pytest.raises(TelegramBadRequest, match="message to be replied not found"):
        await bot.send_photo(ANNA, picture(), reply_parameters=ReplyParameters(message_id=5))


async def test_an_answer_to_a_message_that_is_gone_is_sent_when_it_may_stand_alone(
    telegram: SandboxTelegram, bot: Bot
) -> None:
    reply = ReplyParameters(message_id=5, allow_sending_without_reply=True)

    await bot.send_photo(ANNA, picture(), reply_parameters=reply)

    assert telegram.sent[0].reply_to_message_id is None


@pytest.mark.parametrize(
    ("photo", "what"),
    [
        (picture(21, 1), "PHOTO_INVALID_DIMENSIONS"),
        (picture(9_000, 1_001), "PHOTO_INVALID_DIMENSIONS"),
        (BufferedInputFile(b"no picture at all", "a.png"), "IMAGE_PROCESS_FAILED"),
        (BufferedInputFile(b"x" * (10 * 1024 * 1024 + 1), "a.png"), "too big for a photo"),
        ("AgACAgIAAxkBAAI", "wrong file identifier"),
    ],
    ids=["long", "large", "no picture", "heavy", "unknown file id"],
)
async def test_a_photo_that_telegram_refuses_is_refused(
    telegram: SandboxTelegram, bot: Bot, photo: BufferedInputFile | str, what: str
) -> None:
    with pytest.raises(TelegramBadRequest, match=what):
        await bot.send_photo(ANNA, photo)

    assert telegram.sent == []


@pytest.mark.parametrize("size", [(20, 1), (9_000, 1_000)])
async def test_a_photo_at_the_limit_is_taken(bot: Bot, size: tuple[int, int]) -> None:
    assert (await bot.send_photo(ANNA, picture(*size))).photo


async def test_a_file_id_of_a_photo_is_no_document(bot: Bot) -> None:
    first = await bot.send_photo(ANNA, picture())
    assert first.photo is not None

    with pytest.raises(TelegramBadRequest, match="can't use file of type Photo as Document"):
        await bot.send_document(ANNA, first.photo[-1].file_id)


async def test_a_caption_is_counted_in_utf16_units(telegram: SandboxTelegram, bot: Bot) -> None:
    await bot.send_photo(ANNA, picture(), caption="🌊" * 512)

    with pytest.raises(TelegramBadRequest, match="message caption is too long"):
        await bot.send_photo(ANNA, picture(), caption="🌊" * 512 + "!")
    assert len(telegram.sent) == 1


async def test_a_body_beyond_fifty_megabytes_is_too_large(bot: Bot) -> None:
    huge = BufferedInputFile(b"x" * (51 * 1024 * 1024), "a.bin")

    with pytest.raises((TelegramEntityTooLarge, TelegramNetworkError)):
        await bot.send_document(ANNA, huge)


async def test_a_person_who_blocked_the_bot_gets_nothing(
    telegram: SandboxTelegram, bot: Bot
) -> None:
    telegram.block(ANNA)

    with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
        await bot.send_photo(ANNA, picture())

    assert telegram.sent == []
    assert [(call.chat_id, call.status) for call in telegram.calls] == [(ANNA, 403)]


async def test_a_forgotten_chat_is_not_found(telegram: SandboxTelegram, bot: Bot) -> None:
    telegram.forget(ANNA)

    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.send_message(ANNA, "hello")


async def test_only_known_chats_exist_once_one_is_named(
    telegram: SandboxTelegram, bot: Bot
) -> None:
    telegram.know(ANNA)

    await bot.send_message(ANNA, "hello")
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.send_message(ANNA + 1, "hello")


async def test_a_group_that_became_a_supergroup_says_where_it_is(
    telegram: SandboxTelegram, bot: Bot
) -> None:
    telegram.migrate(-55, to=-1000055)

    with pytest.raises(TelegramMigrateToChat) as caught:
        await bot.send_photo(-55, picture())
    answer = await bot.send_photo(caught.value.migrate_to_chat_id, picture())

    assert (answer.chat.id, answer.chat.type) == (-1000055, "supergroup")


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (Trouble.flood(3), TelegramRetryAfter),
        (Trouble.migrated(-1000055), TelegramMigrateToChat),
        (Trouble.too_large(), TelegramEntityTooLarge),
        (Trouble.unauthorized(), TelegramUnauthorizedError),
        (Trouble.server_error(), TelegramServerError),
        (Trouble.server_error(502, "Bad Gateway"), TelegramServerError),
        (Trouble.restarting(), RestartingTelegram),
        (Trouble.bad_gateway(), ClientDecodeError),
        (Trouble.drop(), TelegramNetworkError),
        (Trouble.refused(400, "Bad Request: TOPIC_CLOSED"), TelegramBadRequest),
    ],
)
async def test_a_scripted_trouble_befalls_one_call(
    telegram: SandboxTelegram, bot: Bot, trouble: Trouble, error: type[Exception]
) -> None:
    telegram.script(trouble)

    with pytest.raises(error):
        await bot.send_photo(ANNA, picture())
    assert telegram.sent == []
    await bot.send_photo(ANNA, picture())

    assert len(telegram.sent) == 1


@pytest.mark.parametrize(
    "trouble", [Trouble.drop(is_accepted=True), Trouble.bad_gateway(is_accepted=True)]
)
async def test_an_accepted_photo_is_in_the_chat_though_the_caller_cannot_know(
    telegram: SandboxTelegram, bot: Bot, trouble: Trouble
) -> None:
    telegram.script(trouble)

    with pytest.raises((TelegramNetworkError, ClientDecodeError)):
        await bot.send_photo(ANNA, picture())

    assert len(telegram.sent) == 1


@pytest.mark.parametrize("is_accepted", [False, True])
async def test_a_hanging_call_ends_with_the_callers_patience(
    telegram: SandboxTelegram, bot: Bot, *, is_accepted: bool
) -> None:
    telegram.script(Trouble.hang(is_accepted=is_accepted))

    with pytest.raises(TelegramNetworkError, match="timeout"):
        await bot.send_photo(ANNA, picture(), request_timeout=1)

    assert len(telegram.sent) == is_accepted
    assert telegram.calls[0].status is None


async def test_a_server_that_closes_ends_hanging_calls() -> None:
    async with SandboxTelegram() as telegram, bot_for(telegram) as bot:
        telegram.script(Trouble.hang())
        call = asyncio.create_task(bot.send_photo(ANNA, picture()))
        await telegram.wait_for_calls(1, timeout=5)

    with pytest.raises(TelegramNetworkError):
        await call


async def test_a_trouble_for_one_chat_and_method_leaves_others_alone(
    telegram: SandboxTelegram, bot: Bot
) -> None:
    telegram.script(Trouble.flood(3), chat_id=ANNA, method="sendPhoto")

    await bot.send_message(ANNA, "hello")
    await bot.send_photo(ANNA + 1, picture())

    with pytest.raises(TelegramRetryAfter):
        await bot.send_photo(ANNA, picture())


async def test_waiting_ends_with_the_message_that_is_waited_for(
    telegram: SandboxTelegram, bot: Bot
) -> None:
    waiting = asyncio.create_task(telegram.wait_for(1, timeout=5, method="sendPhoto"))
    await bot.send_message(ANNA, "drawing")

    await bot.send_photo(ANNA, picture(), caption="here")

    assert [message.caption for message in await waiting] == ["here"]


async def test_waiting_in_vain_ends_too(telegram: SandboxTelegram) -> None:
    with pytest.raises(TimeoutError):
        await telegram.wait_for(1, timeout=0.05)


async def test_an_upload_takes_its_time() -> None:
    async with SandboxTelegram(seconds_per_upload=0.2) as telegram, bot_for(telegram) as bot:
        started = asyncio.get_running_loop().time()
        await bot.send_photo(ANNA, picture())

    assert asyncio.get_running_loop().time() - started >= 0.2


async def test_another_token_is_unauthorized(telegram: SandboxTelegram) -> None:
    async with bot_for(telegram, "43:another") as bot:
        with pytest.raises(TelegramUnauthorizedError):
            await bot.get_me()


async def test_a_token_may_be_revoked(telegram: SandboxTelegram, bot: Bot) -> None:
    telegram.token = "42:another"

    with pytest.raises(TelegramUnauthorizedError):
        await bot.get_me()


async def test_an_unknown_method_is_not_found(bot: Bot) -> None:
    with pytest.raises(TelegramNotFound, match="method not found"):
        await bot.log_out()


async def test_a_port_in_use_is_told_in_one_line(telegram: SandboxTelegram) -> None:
    port = int(telegram.url.rpartition(":")[2])

    with pytest.raises(SandboxError, match=f"no Telegram on 127.0.0.1:{port}"):
        await SandboxTelegram(port=port).__aenter__()


async def test_the_chat_page_runs_nothing_but_its_own_script(telegram: SandboxTelegram) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/", f"/chat/{ANNA}", "/page/chat.js", "/page/chat.css"):
            async with session.get(f"{telegram.url}{path}") as answer:
                assert answer.status == 200, path
                assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        async with session.get(f"{telegram.url}/page/server.py") as answer:
            assert answer.status == 404


async def test_a_file_that_is_no_picture_is_not_shown_as_a_page(
    telegram: SandboxTelegram, bot: Bot
) -> None:
    await bot.send_document(ANNA, BufferedInputFile(b"<script>alert(1)</script>", "a.html"))
    address = f"{telegram.url}/file/{telegram.sent[0].file_id}"

    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        body, headers = await answer.read(), answer.headers

    assert body == b"<script>alert(1)</script>"
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["X-Content-Type-Options"] == "nosniff"
