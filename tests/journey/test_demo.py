"""`imagegen demo` as people run it: what it shows, how it ends, and that nothing is left."""

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from imagegen import resources
from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.servers.process import descendants_of, is_same, process_birth
from tests.support import fork_server
from tests.support.fork_server import RecordedCommand
from tests.support.patience import PATIENCE_S

START = "from imagegen.cli import main; main(prog_name='imagegen')"

pytestmark = pytest.mark.timeout(120)


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Give an empty directory for temporary files that other accounts may pass through."""
    path = Path(tempfile.mkdtemp(prefix="démo ", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def scratch() -> Iterator[Path]:
    with scratch_directory() as path:
        yield path


def start(scratch: Path, home: Path, *arguments: str, **variables: str) -> RecordedCommand:
    return RecordedCommand(
        fork_server.shared(),
        [sys.executable, "-c", START, "demo", *arguments],
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(scratch), **variables},
    )


def demo(scratch: Path, home: Path, *arguments: str, **variables: str) -> tuple[int, str, str]:
    with start(scratch, home, *arguments, **variables) as started:
        code = started.process.wait(PATIENCE_S)
        return code, started.stdout, started.stderr


def family(pid: int) -> dict[int, str]:
    """Return a process's children and theirs, with what tells them from later ones."""
    return {child: process_birth(child) for child in descendants_of(pid)}


def until(started: RecordedCommand, sign: str) -> None:
    """Read its output up to a line that holds the sign."""
    ends = time.monotonic() + PATIENCE_S
    while not any(sign in line for line in started.stdout.splitlines(keepends=True)):
        assert started.process.poll() is None, started.stderr
        assert time.monotonic() < ends, started.stdout
        time.sleep(0.02)


def are_gone(processes: dict[int, str]) -> bool:
    ends = time.monotonic() + 10
    while any(is_same(pid, then) for pid, then in processes.items()):
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A demo that has ended: its exit code, what it printed, its home and what it left behind."""

    code: int
    out: str
    err: str
    home: Path
    left: list[Path]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """Run a demo of two personas where somebody has real settings, for the tests that only look."""
    home = tmp_path_factory.mktemp("demo")
    (home / ".env").write_text("COMFYUI_SLOTS_PER_HOST=none\nIMAGE_TRIGGER_MAX=900\n")
    real = {
        "DATABASE_URL": "postgresql://real:secret@127.0.0.1:1/real",
        "REDIS_URL": "redis://127.0.0.1:1",
        "COMFYUI_HOSTS": "127.0.0.1:1",
        "TELEGRAM_BOT_TOKEN": "1:real",
        "IMAGE_TRIGGER_MIN": "800",
    }
    with scratch_directory() as scratch:
        code, out, err = demo(
            scratch, home, "--once", "--personas", "ash, Lina", "--out", "got", **real
        )
        return Shown(code=code, out=out, err=err, home=home, left=list(scratch.iterdir()))


def test_the_pictures_are_files_and_the_last_line_counts_them(shown: Shown) -> None:
    assert (shown.code, shown.err) == (0, "")
    assert "━" not in shown.out, "a bar is for a terminal"
    assert shown.out.splitlines()[-1].startswith("delivered 2 of 2 pictures in ")
    assert sorted(path.name for path in (shown.home / "got").iterdir()) == ["ash.png", "lina.png"]
    assert shown.left == []


def test_somebodys_real_settings_are_not_used(shown: Shown) -> None:
    assert shown.code == 0
    assert shown.out.splitlines()[-1].startswith("delivered 2 of 2 pictures in ")


def test_a_persona_of_ones_own_is_shown_from_ones_own_directory(
    scratch: Path, tmp_path: Path
) -> None:
    shutil.copytree(resources.path("workflows") / "lina", tmp_path / "mine" / "zoë")

    code, out, err = demo(scratch, tmp_path, "--once", "--workflows", "mine", "--out", "got")

    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("delivered 1 of 1 pictures in ")
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["zoë.png"]


async def test_the_chat_is_a_page_where_a_persona_answers(scratch: Path, tmp_path: Path) -> None:
    with start(scratch, tmp_path, "--chat", "--personas", "ash") as started:
        await asyncio.to_thread(until, started, "Chat with a persona:")
        address = re.findall(r"http://[\d.:]+(?=/chat/)", started.stdout)[0]
        chat = f"{address}/sandbox/chats/1001"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{address}/chat/1001") as page:
                assert page.status == 200
            await said(session, chat, "/start", count=2)
            press = {"message_id": 2, "button": "Ash"}
            async with session.post(f"{chat}/presses", json=press) as pressed:
                assert pressed.status == 200
            messages = await said(session, chat, "Hello", count=5)
            await asyncio.to_thread(until, started, "Status page:")
            page, token = re.findall(r"Status page: (\S+) \(token: (\S+)\)", started.stdout)[0]
            async with session.post(
                f"{page}status/session",
                data={"token": token},
                headers={"Origin": page.removesuffix("/")},
                allow_redirects=False,
            ) as signed_in:
                assert signed_in.headers["Location"] == "../"

        started.process.send_signal(signal.SIGINT)
        code = await asyncio.to_thread(started.process.wait, PATIENCE_S)

    texts = [str(message.get("text")) for message in messages]
    assert "I am an AI" in texts[1]
    assert any("timing is good" in text for text in texts)
    assert code == 128 + signal.SIGINT
    assert list(scratch.iterdir()) == []


async def said(
    session: aiohttp.ClientSession, chat: str, text: str, *, count: int
) -> list[dict[str, object]]:
    """Write a message, and wait until the chat has so many."""
    async with session.post(f"{chat}/messages", json={"text": text}):
        pass
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with session.get(f"{chat}/messages") as answer:
                messages: list[dict[str, object]] = (await answer.json())["messages"]
            if len(messages) >= count:
                return messages
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_leaves_nothing(
    scratch: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with start(scratch, tmp_path, "--once") as started:
        until(started, "ComfyUI:")
        processes = family(started.process.pid)

        started.process.send_signal(number)
        code, err = started.process.wait(PATIENCE_S), started.stderr

    assert len(processes) >= 3, "PostgreSQL, Valkey and more"
    assert code == 128 + number
    assert "Traceback" not in err
    assert "never retrieved" not in err
    assert are_gone(processes)
    assert list(scratch.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a parent's death")
def test_after_a_killed_demo_no_process_is_left_and_the_next_start_sweeps(
    scratch: Path, tmp_path: Path
) -> None:
    with start(scratch, tmp_path, "--once") as started:
        until(started, "ComfyUI:")
        processes = family(started.process.pid)

        started.process.kill()
        started.process.wait(PATIENCE_S)

    assert are_gone(processes)
    assert demo(scratch, tmp_path, "--once", "--personas", "ash")[0] == 0
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--personas", "nobody"], "There is no persona called 'nobody'."),
        (["--personas", "ash", "--comfyui", "127.0.0.1:1"], "127.0.0.1:1 does not answer"),
        (["--personas", "ash", "--comfyui", "a b"], "--comfyui: "),
        (["--workflows", "."], "no folder in it has a persona.toml"),
        (["--out", "/dev/null/pictures"], "--out: /dev/null/pictures cannot be written to"),
    ],
)
def test_what_cannot_be_shown_is_told_in_a_line(
    scratch: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    code, _, err = demo(scratch, tmp_path, "--once", *arguments)

    assert code == 1
    assert said in err
    assert "Traceback" not in err
    assert list(scratch.iterdir()) == []


async def test_what_is_not_delivered_is_named_and_the_exit_code_says_so(
    scratch: Path, tmp_path: Path
) -> None:
    async with SandboxComfyUI(models={}) as host:
        code, _, err = await asyncio.to_thread(
            demo, scratch, tmp_path, "--once", "--personas", "ash", "--comfyui", host.address
        )

    assert code == 1
    assert "ash: failed (model_missing)" in err
    assert "delivered 0 of 1 pictures" in err
