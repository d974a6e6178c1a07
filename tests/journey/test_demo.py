"""`imagegen demo` as people run it: what it shows, how it ends, and that nothing is left."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagegen import resources
from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.servers.process import descendants_of, is_same, process_birth

START = "from imagegen.cli import main; main(prog_name='imagegen')"
PATIENCE_S = 60.0

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Give an empty directory for temporary files that other accounts may pass through."""
    path = Path(tempfile.mkdtemp(prefix="démo ", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def start(scratch: Path, home: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", START, "demo", *arguments],
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(scratch), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def demo(scratch: Path, home: Path, *arguments: str, **variables: str) -> tuple[int, str, str]:
    process = start(scratch, home, *arguments, **variables)
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def family(pid: int) -> dict[int, str]:
    """Return a process's children and theirs, with what tells them from later ones."""
    return {child: process_birth(child) for child in descendants_of(pid)}


def until(process: subprocess.Popen[str], sign: str) -> None:
    """Read its output up to a line that holds the sign."""
    assert process.stdout is not None
    assert any(sign in line for line in process.stdout)


def are_gone(processes: dict[int, str]) -> bool:
    ends = time.monotonic() + 10
    while any(is_same(pid, then) for pid, then in processes.items()):
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True


def test_the_pictures_are_files_and_the_last_line_counts_them(
    scratch: Path, tmp_path: Path
) -> None:
    code, out, err = demo(scratch, tmp_path, "--once", "--personas", "ash, Lina", "--out", "got")

    assert (code, err) == (0, "")
    assert "━" not in out, "a bar is for a terminal"
    assert out.splitlines()[-1].startswith("delivered 2 of 2 pictures in ")
    assert sorted(path.name for path in (tmp_path / "got").iterdir()) == ["ash.png", "lina.png"]
    assert list(scratch.iterdir()) == []


def test_a_persona_of_ones_own_is_shown_from_ones_own_directory(
    scratch: Path, tmp_path: Path
) -> None:
    shutil.copytree(resources.path("workflows") / "lina", tmp_path / "mine" / "zoë")

    code, out, err = demo(scratch, tmp_path, "--once", "--workflows", "mine", "--out", "got")

    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("delivered 1 of 1 pictures in ")
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["zoë.png"]


def test_somebodys_real_settings_are_not_used(scratch: Path, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COMFYUI_SLOTS_PER_HOST=none\nIMAGE_TRIGGER_MAX=900\n")
    real = {
        "DATABASE_URL": "postgresql://real:secret@127.0.0.1:1/real",
        "REDIS_URL": "redis://127.0.0.1:1",
        "COMFYUI_HOSTS": "127.0.0.1:1",
        "TELEGRAM_BOT_TOKEN": "1:real",
        "IMAGE_TRIGGER_MIN": "800",
    }

    code, out, _ = demo(scratch, tmp_path, "--once", "--personas", "ash", **real)

    assert code == 0
    assert out.splitlines()[-1].startswith("delivered 1 of 1 pictures in ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_leaves_nothing(
    scratch: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = start(scratch, tmp_path, "--once")
    until(process, "ComfyUI:")
    processes = family(process.pid)

    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE_S)

    assert len(processes) >= 3, "PostgreSQL, Valkey and more"
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert "never retrieved" not in err
    assert are_gone(processes)
    assert list(scratch.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a parent's death")
def test_after_a_killed_demo_no_process_is_left_and_the_next_start_sweeps(
    scratch: Path, tmp_path: Path
) -> None:
    process = start(scratch, tmp_path, "--once")
    until(process, "ComfyUI:")
    processes = family(process.pid)

    process.kill()
    process.communicate(timeout=PATIENCE_S)

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


def _end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, err


async def test_what_is_not_delivered_is_named_and_the_exit_code_says_so(
    scratch: Path, tmp_path: Path
) -> None:
    async with SandboxComfyUI(models={}) as host:
        process = start(scratch, tmp_path, "--once", "--personas", "ash", "--comfyui", host.address)
        code, err = await asyncio.to_thread(_end, process)

    assert code == 1
    assert "ash: failed (model_missing)" in err
    assert "delivered 0 of 1 pictures" in err
