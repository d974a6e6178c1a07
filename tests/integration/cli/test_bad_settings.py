"""A bad setting stops each command with one line, whatever it is started by."""

import json
import os
import sys
from pathlib import Path

import pytest

from imagegen import resources
from tests.support import fork_server
from tests.support.patience import PATIENCE_S
from tests.support.worker_process import ARQ, IMAGEGEN

MIGRATE = (IMAGEGEN[0], "migrate")
ALEMBIC = (sys.executable, "-m", "alembic", "-c", str(resources.path("alembic.ini")))
UPGRADE = (*ALEMBIC, "upgrade", "head")
GOOD = {
    "DATABASE_URL": "postgresql://bot:hush-db@127.0.0.1:1/chatflow",
    "REDIS_URL": "redis://:hush-redis@127.0.0.1:1",
    "TELEGRAM_BOT_TOKEN": "123:hush-token",
    "COMFYUI_HOSTS": "gpu-1:8188",
}


def start(command: tuple[str, ...], home: Path, **changes: str) -> tuple[int, str, str]:
    """Run a command in an empty directory with the good variables and these; empty is left out."""
    ended = fork_server.shared().run(
        command,
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "IMAGE_STORE": f"{home.as_uri()}/store",
            **GOOD,
            **changes,
        },
        timeout=PATIENCE_S,
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("command", [ARQ, MIGRATE, UPGRADE])
def test_a_missing_variable_is_one_line_and_no_traceback(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    code, out, err = start(command, tmp_path, DATABASE_URL="")

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "DATABASE_URL is not set, must be postgresql://" in err


def test_a_foreign_database_is_one_line_without_its_password(tmp_path: Path) -> None:
    code, _, err = start(UPGRADE, tmp_path, DATABASE_URL="mysql://bot:hush@h/chatflow")

    assert (code, err.count("\n")) == (1, 1)
    assert "DATABASE_URL: got an address that does not begin with postgresql://" in err
    assert "hush" not in err


def test_workflows_that_are_not_there_name_the_variable(tmp_path: Path) -> None:
    code, _, err = start(IMAGEGEN, tmp_path, WORKFLOWS_DIR="nowhere")

    assert (code, err.count("\n")) == (1, 1)
    assert json.loads(err)["event"] == "worker cannot start"
    assert json.loads(err)["why"].startswith("WORKFLOWS_DIR: got nowhere, must be")


def test_a_store_that_cannot_be_written_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = (tmp_path / "file" / "store").as_uri()

    code, _, err = start(IMAGEGEN, tmp_path, IMAGE_STORE=store)

    assert (code, err.count("\n")) == (1, 1)
    assert json.loads(err)["why"].startswith(f"IMAGE_STORE: got {store}, must be")


@pytest.mark.parametrize("command", [MIGRATE, UPGRADE])
def test_a_database_that_is_away_is_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    code, _, err = start(command, tmp_path)

    assert (code, err.count("\n")) == (1, 1)
    assert "PostgreSQL cannot be reached" in err
    assert "hush" not in err


def test_several_faults_of_the_env_file_are_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GENERATION_TIMEOUT=soon\nCOMFYUI_SLOTS_PER_HOST=zero\n")

    code, _, err = start(ARQ, tmp_path, COMFYUI_HOSTS="")

    assert (code, err.count("\n")) == (1, 1)
    assert "GENERATION_TIMEOUT: got 'soon', must be a number of seconds" in err
    assert "COMFYUI_SLOTS_PER_HOST: got 'zero', must be a whole number" in err
    assert "COMFYUI_HOSTS is not set" in err


@pytest.mark.parametrize("command", [ARQ, IMAGEGEN])
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"REDIS_URL": "redis://h?ssl=yes"}, "REDIS_URL: got an address with an option that is"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT: got 'xml', must be json or console"),
    ],
)
def test_a_worker_logs_what_is_wrong_in_json_and_with_its_name(
    command: tuple[str, ...], tmp_path: Path, changes: dict[str, str], why: str
) -> None:
    code, out, err = start(command, tmp_path, **changes)

    assert (code, out, err.count("\n")) == (1, "", 1)
    line = json.loads(err)
    assert (line["event"], line["level"]) == ("worker cannot start", "critical")
    assert line["why"].startswith(why)
    assert line["worker"]


def test_a_worker_logs_what_is_wrong_in_columns_if_that_is_chosen(tmp_path: Path) -> None:
    code, _, err = start(ARQ, tmp_path, LOG_FORMAT="console", REDIS_PORT="x", REDIS_URL="")

    assert (code, err.count("\n")) == (1, 1)
    assert "[critical ] worker cannot start" in err
    assert "REDIS_PORT: got 'x', must be a port" in err


@pytest.mark.parametrize(
    "command",
    [
        (IMAGEGEN[0], "hosts"),
        (IMAGEGEN[0], "requests", "list"),
        (IMAGEGEN[0], "purge"),
        (IMAGEGEN[0], "forget", "1"),
        (IMAGEGEN[0], "covers"),
    ],
)
def test_a_wrong_address_of_redis_is_one_line_of_each_command(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    code, out, err = start(command, tmp_path, REDIS_URL="rediss://:hush@h?ssl_cert_reqs=CERT_SOME")

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "imagegen: REDIS_URL: got an address whose ssl_cert_reqs is none of" in err
    assert "hush" not in err


def test_a_check_of_a_redis_that_is_away_is_one_line(tmp_path: Path) -> None:
    code, out, err = start((*ARQ, "--check"), tmp_path)

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "redis://127.0.0.1:1 refuses the connection" in json.loads(err)["why"]
