"""`imagegen sandbox telegram` as people run it: what it says, how it misbehaves, how it ends."""

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from imagegen.sandbox.telegram.fault_text import KINDS
from tests.support import fork_server
from tests.support.fork_server import RecordedCommand
from tests.support.patience import PATIENCE_S

START = "from imagegen.cli import main; main(prog_name='imagegen')"
COMMAND = (sys.executable, "-c", START, "sandbox", "telegram")

pytestmark = pytest.mark.timeout(90)


@contextmanager
def running(*arguments: str) -> Iterator[tuple[RecordedCommand, str]]:
    """Run the command on a free port, and give its address once it has said that."""
    with RecordedCommand(
        fork_server.shared(),
        [*COMMAND, "--port", "0", *arguments],
        env={"PATH": os.environ["PATH"]},
        cwd=Path.cwd(),
    ) as started:
        ends = time.monotonic() + PATIENCE_S
        while started.stdout.count("\n") < 2:
            assert started.process.poll() is None, started.stderr
            assert time.monotonic() < ends, started.stderr
            time.sleep(0.01)
        yield started, started.stdout.splitlines()[0].split()[-1]


def said(*arguments: str) -> tuple[int, str, str]:
    """Run the command until it ends by itself."""
    done = fork_server.shared().run(
        [*COMMAND, *arguments],
        timeout=PATIENCE_S,
        env={"PATH": os.environ["PATH"], "COLUMNS": "120"},
        cwd=Path.cwd(),
    )
    return done.returncode, done.stdout, done.stderr


async def post(session: aiohttp.ClientSession, url: str, body: Any) -> Any:
    async with session.post(url, json=body) as answer:
        return await answer.json()


async def test_it_says_where_it_listens_and_takes_a_person_and_a_bot() -> None:
    with running("--token", "7:secret") as (command, url):
        async with aiohttp.ClientSession() as session:
            await post(session, f"{url}/sandbox/chats/1001/messages", {"text": "/start"})
            updates = await post(session, f"{url}/bot7:secret/getUpdates", {"timeout": 20})
        lines = command.stdout.splitlines()

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    assert lines[1] == "its bot has the token 7:secret"
    assert updates["result"][0]["message"]["text"] == "/start"


async def test_it_misbehaves_as_told() -> None:
    with running("--token", "7:secret", "--flood-limits", "--fault", "flood:chat=5") as (_, url):
        async with aiohttp.ClientSession() as session:
            answers = [
                await post(session, f"{url}/bot7:secret/sendMessage", {"chat_id": 5, "text": "a"})
                for _ in range(5)
            ]

    assert [answer["ok"] for answer in answers] == [False, True, True, True, False]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_while_a_bot_polls_and_a_page_watches(
    number: signal.Signals,
) -> None:
    with running("--token", "7:secret") as (command, url):
        events = f"{url}/sandbox/chats/1001/events"
        async with aiohttp.ClientSession() as session, session.get(events) as page:
            assert page.status == 200

            command.process.send_signal(number)
            code, err = command.process.wait(PATIENCE_S), command.stderr

    assert code == 0
    assert "Traceback" not in err


def test_the_help_lists_every_fault() -> None:
    code, out, _ = said("--help")

    listed = re.findall(r"^  ([a-z-]+)(?: [a-z]+)*  +[a-z0-9]", out, flags=re.MULTILINE)
    assert code == 0
    assert set(KINDS) <= set(listed)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--fault", "dorp"], "there is no fault 'dorp'"),
        (["--token", "secret"], "a token is a number, a colon and a secret"),
    ],
)
def test_what_cannot_be_played_is_told_in_a_sentence(arguments: list[str], told: str) -> None:
    code, out, err = said(*arguments)

    assert (code, out) == (2, "")
    assert err.startswith(f"imagegen sandbox telegram: {told}")
    assert len(err.splitlines()) == 1


def test_a_taken_port_is_told_in_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        code, out, err = said("--port", str(port))

    assert (code, out) == (1, "")
    assert err.startswith(f"imagegen sandbox telegram: no Telegram on 127.0.0.1:{port}: ")
    assert len(err.splitlines()) == 1
