"""One call of the Bot API: what it sends, what came of it, and that the token stays where it is."""

import asyncio
import os
import socket
import struct
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from imagegen.delivery.bot_api import BotApiClient, CallRefused, InputFile
from imagegen.delivery.errors import NotSent, OutcomeUnknown
from imagegen.sandbox.telegram import SandboxTelegram
from tests.support import tls
from tests.support.pictures import png

SECRET = "AAE-a_secret"
TOKEN = f"42:{SECRET}"
TIMEOUT_S = 5.0


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """Run a server that reads a call and answers with these bytes; yields its address."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http(status: str, body: str = "", *headers: str) -> bytes:
    head = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join((*head, "", body)).encode()


async def called(url: str) -> Any:
    async with BotApiClient(token=TOKEN, api_url=url, timeout_s=TIMEOUT_S) as client:
        return await client.call("getMe", {})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"SSH-2.0-OpenSSH_9.9\r\n", OutcomeUnknown),
        (b"", OutcomeUnknown),
        (http("200 OK", '{"ok": ')[:-3], OutcomeUnknown),
        (http("200 OK", "junk", "Content-Encoding: gzip"), OutcomeUnknown),
        (http("200 OK", "{}", "Content-Type: text/plain; charset=no-such"), OutcomeUnknown),
        (http("302 Found", "", "Location: http://127.0.0.1:1/login"), NotSent),
        (http("307 Temporary Redirect", "", "Location: /elsewhere"), NotSent),
        (http("403 Forbidden", '{"ok": false, "description": "Forbidden"}'), CallRefused),
        (http("407 Proxy Authentication Required"), NotSent),
        (http("502 Bad Gateway", '{"ok": false, "description": "Bad Gateway"}'), OutcomeUnknown),
    ],
)
async def test_no_error_shows_the_token(answer: bytes, error: type[Exception]) -> None:
    async with answering(answer) as url:
        with pytest.raises(error) as raised:
            await called(url)

    assert SECRET not in "".join(traceback.format_exception(raised.value))
    assert SECRET not in repr((raised.value, raised.value.__cause__, raised.value.__context__))


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "http://[::1", "http://no-such.invalid"])
async def test_an_address_that_leads_nowhere_does_not_show_the_token_either(address: str) -> None:
    with pytest.raises((NotSent, OutcomeUnknown)) as raised:
        await called(address)

    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_what_is_no_token_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="digits:letters") as raised:
        BotApiClient(token=SECRET, api_url="http://127.0.0.1:1", timeout_s=TIMEOUT_S)

    assert SECRET not in "".join(traceback.format_exception(raised.value))
    client = BotApiClient(token=TOKEN, api_url="http://127.0.0.1:1", timeout_s=TIMEOUT_S)
    assert SECRET not in repr(client)
    assert client.bot_id == 42


async def test_a_certificate_that_is_not_trusted_is_not_sent(tmp_path: Path) -> None:
    async with (
        answering(http("200 OK", '{"ok": true, "result": 1}')) as url,
        tls.terminated(int(url.rpartition(":")[2]), tls.make_certificate(tmp_path)) as port,
    ):
        with pytest.raises(NotSent, match="certificate that is not trusted"):
            await called(f"https://127.0.0.1:{port}")


async def test_a_server_that_does_not_answer_leaves_it_open_what_was_done() -> None:
    async with (
        SandboxTelegram(seconds_per_upload=30) as server,
        BotApiClient(token=server.token, api_url=server.url, timeout_s=0.2) as client,
    ):
        fields = {"chat_id": 1, "photo": "attach://it"}
        files = {"it": InputFile(data=png(), filename="it.png")}
        with pytest.raises(OutcomeUnknown, match="in time"):
            await client.call("sendPhoto", fields, files=files)


async def test_a_field_without_a_value_is_left_out_and_all_others_are_json() -> None:
    async with SandboxTelegram() as server:
        async with BotApiClient(token=server.token, api_url=server.url, timeout_s=5) as client:
            await client.call(
                "sendMessage",
                {
                    "chat_id": 7,
                    "text": "5",
                    "message_thread_id": None,
                    "protect_content": True,
                    "reply_parameters": {
                        "message_id": 3,
                        "quote": None,
                        "allow_sending_without_reply": True,
                    },
                },
            )

        assert server.calls[0].fields == {
            "chat_id": "7",
            "text": "5",
            "protect_content": "true",
            "reply_parameters": '{"message_id": 3, "allow_sending_without_reply": true}',
        }


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="Linux alone counts packets")
async def test_a_small_photo_and_all_that_is_said_of_it_are_one_packet() -> None:
    packets = list[int]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"--\r\n")
        packets.append(data_packets(writer.get_extra_info("socket")))
        writer.write(http("200 OK", '{"ok": true, "result": 1}'))
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, BotApiClient(token=TOKEN, api_url=url, timeout_s=TIMEOUT_S) as client:
        await client.call(
            "sendPhoto",
            {"chat_id": 7, "photo": "attach://it", "caption": "hello", "has_spoiler": True},
            files={"it": InputFile(data=bytes(12_000), filename="it.png")},
        )

    assert packets == [1]


def data_packets(connection: socket.socket) -> int:
    """Return how many packets with data a connection has received; a field of Linux's tcp_info."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return int(struct.unpack_from("=I", info, 152)[0])


@pytest.mark.parametrize("filename", ['a "b".png', "кот.png", "a\r\nb.png"])
async def test_any_file_name_and_text_stay_what_they_are(filename: str) -> None:
    async with SandboxTelegram() as server:
        async with BotApiClient(token=server.token, api_url=server.url, timeout_s=5) as client:
            await client.call(
                "sendPhoto",
                {"chat_id": 7, "photo": "attach://it", "caption": 'a "b"\r\n--кот'},
                files={"it": InputFile(data=png(), filename=filename)},
            )

        assert server.calls[0].fields["caption"] == 'a "b"\r\n--кот'
        assert server.sent[0].photo == png()


async def test_a_large_file_arrives_as_it_is() -> None:
    data = png() + os.urandom(1_300_000)
    async with SandboxTelegram() as server:
        async with BotApiClient(token=server.token, api_url=server.url, timeout_s=20) as client:
            await client.call(
                "sendDocument",
                {"chat_id": 7, "document": "attach://large"},
                files={"large": InputFile(data=data, filename="large.png")},
            )

        assert server.sent[0].document == data
