"""What a worker imports at its start, and the command to say what it can: only what that needs."""

import subprocess
import sys

import pytest


def test_a_worker_loads_no_bot_no_language_model_and_no_migrations() -> None:
    program = (
        "import sys, imagegen.worker;"
        "found = {'aiogram', 'httpx', 'alembic', 'dns'} & set(sys.modules);"
        "sys.exit(f'loaded: {found}' if found else 0)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_the_command_says_what_it_can_without_a_database_or_a_log(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from imagegen.cli import main\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try: main(prog_name='imagegen')\n"
        "finally:\n"
        "    found = {'sqlalchemy', 'redis', 'structlog', 'pydantic', 'PIL'} & set(sys.modules)\n"
        "    assert not found, found"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
