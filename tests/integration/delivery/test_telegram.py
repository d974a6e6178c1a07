"""One send: how it ended is judged by how far it got."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web

from imagegen.delivery.errors import (
    AnswerUnknown,
    ChatGone,
    FileUnknown,
    NotSent,
    OutcomeUnknown,
    PhotoRefused,
)
from imagegen.delivery.message import PhotoMessage
from imagegen.delivery.telegram import Telegram
from imagegen.sandbox.telegram import SandboxTelegram, Trouble
from tests.support.pictures import png

ANNA = 1
PHOTO = PhotoMessage(chat_id=ANNA, data=png(), filename="a.png", width=8, height=8)


@pytest.fixture
async def server() -> AsyncIterator[SandboxTelegram]:
    async with SandboxTelegram() as server:
        yield server


@pytest.fixture
async def telegram(server: SandboxTelegram) -> AsyncIterator[Telegram]:
    async with Telegram(token=server.token, api_url=server.url, timeout_s=1) as telegram:
        yield telegram


@asynccontextmanager
async def answered_with(status: int, body: str | bytes) -> AsyncIterator[Telegram]:
    """Give a Telegram that has one answer to all calls."""

    async def answer(_: web.Request) -> web.Response:
        content = body if isinstance(body, bytes) else body.encode()
        return web.Response(status=status, body=content, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with Telegram(token="42:anything", api_url=url, timeout_s=5) as telegram:
            yield telegram
    finally:
        await runner.cleanup()


async def test_a_connect_that_never_comes_about_is_not_sent(
    server: SandboxTelegram, telegram: Telegram
) -> None:
    await server.drop_packets()
    with pytest.raises(NotSent):
        await telegram.send(PHOTO)

    await server.pass_packets()
    sent = await telegram.send(PHOTO)

    assert [message.message_id for message in server.sent] == [sent.message_id]


async def test_packets_that_are_dropped_on_an_open_connection_leave_it_open_what_arrived(
    server: SandboxTelegram, telegram: Telegram
) -> None:
    await telegram.probe()

    await server.drop_packets()

    with pytest.raises(OutcomeUnknown):
        await telegram.send(PHOTO)
    assert server.sent == []


@pytest.mark.parametrize(
    "description",
    [
        "wrong file identifier/HTTP URL specified",
        "wrong remote file identifier specified: Wrong string length",
        "invalid remote file identifier",
        "FILE_REFERENCE_EXPIRED",
        "FILE_ID_INVALID",
        "MEDIA_EMPTY",
        "can't use file of type Document as Photo",
        "in a wording of next year",
    ],
)
async def test_a_file_id_that_is_refused_in_any_wording_is_uploaded_anew(
    server: SandboxTelegram, telegram: Telegram, description: str
) -> None:
    server.script(Trouble.refused(400, f"Bad Request: {description}"))

    with pytest.raises(FileUnknown):
        await telegram.send(replace(PHOTO, data=b"", file_id="photo-1"))


async def test_a_chat_that_refuses_a_file_id_is_not_asked_to_take_an_upload(
    server: SandboxTelegram, telegram: Telegram
) -> None:
    server.script(Trouble.refused(400, "Bad Request: CHAT_SEND_PHOTOS_FORBIDDEN"))

    with pytest.raises(ChatGone):
        await telegram.send(replace(PHOTO, data=b"", file_id="photo-1"))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, "<html>nginx</html>", NotSent),
        (403, "blocked by your provider", NotSent),
        (413, "<html>nginx</html>", PhotoRefused),
        (413, '{"ok": false, "description": "Request Entity Too Large"}', PhotoRefused),
        (418, '{"ok": false}', AnswerUnknown),
        (429, '{"ok": false, "description": "Too Many Requests"}', AnswerUnknown),
        (500, '{"ok": false}', OutcomeUnknown),
        (502, "<html>nginx</html>", OutcomeUnknown),
        (200, "<html>log in to this network</html>", OutcomeUnknown),
        (200, b"\xff\xfe", OutcomeUnknown),
    ],
)
async def test_an_answer_of_any_shape_is_an_outage(
    status: int, body: str | bytes, error: type[Exception]
) -> None:
    async with answered_with(status, body) as telegram:
        with pytest.raises(error):
            await telegram.send(PHOTO)


async def test_a_message_whose_description_cannot_be_read_has_arrived() -> None:
    body = '{"ok": true, "result": {"message_id": 7, "chat": "of another form"}}'
    async with answered_with(200, body) as telegram:
        sent = await telegram.send(PHOTO)

    assert (sent.message_id, sent.file_id) == (7, None)


async def test_a_message_is_deleted_once_and_for_all(
    server: SandboxTelegram, telegram: Telegram
) -> None:
    sent = await telegram.send(PHOTO)

    assert await telegram.delete(ANNA, sent.message_id)
    assert await telegram.delete(ANNA, sent.message_id)

    assert not server.chats.has(ANNA, sent.message_id)


async def test_a_delete_that_is_refused_without_a_reason_is_told() -> None:
    async with answered_with(400, '{"ok": false}') as telegram:
        assert not await telegram.delete(ANNA, 1)


async def test_a_message_that_may_not_be_deleted_is_told(
    server: SandboxTelegram, telegram: Telegram
) -> None:
    server.script(Trouble.refused(400, "Bad Request: message can't be deleted for everyone"))

    assert not await telegram.delete(ANNA, 1)


async def test_a_delete_before_a_picture_takes_as_long_as_a_text_at_most(
    server: SandboxTelegram,
) -> None:
    server.script(Trouble.hang(), method="deleteMessage")
    forever_s = 3600.0

    async with Telegram(token=server.token, api_url=server.url, timeout_s=forever_s) as telegram:
        with pytest.raises(OutcomeUnknown):
            await telegram.delete(ANNA, 1)


async def test_a_private_picture_goes_to_no_other_chat_whatever_telegram_says(
    server: SandboxTelegram, telegram: Telegram
) -> None:
    server.script(Trouble.migrated(-1000055), method="sendPhoto")

    with pytest.raises(AnswerUnknown):
        await telegram.send(PHOTO)

    assert len(server.calls) == 1
    assert server.sent == []


async def test_a_caption_whose_markup_cannot_be_read_is_sent_as_it_stands(
    server: SandboxTelegram, telegram: Telegram
) -> None:
    server.script(Trouble.refused(400, "Bad Request: can't parse entities: unclosed tag <b>"))

    await telegram.send(replace(PHOTO, caption="<b>Look", parse_mode="HTML"))

    first, second = server.calls
    assert [call.fields.get("parse_mode") for call in (first, second)] == ["HTML", None]
    assert server.sent[0].caption == "<b>Look"
