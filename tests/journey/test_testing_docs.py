"""docs/testing-your-bot.md: its files, written down as they stand on the page, are run by pytest."""

import os
import re
import sys
from pathlib import Path

from tests.support import fork_server
from tests.support.patience import PATIENCE_S

PAGE = (Path(__file__).parents[2] / "docs" / "testing-your-bot.md").read_text()
FILES: dict[str, str] = {
    name: block
    for block, name in re.findall(
        r"^```(?:python|ini)\n((?:# ([\w.]+)\n).*?)^```", PAGE, re.MULTILINE | re.DOTALL
    )
}
OF_BOTH = {"pytest.ini", "bot.py", "messages.py"}
WITH_THE_STAND_IN = OF_BOTH | {"test_bot.py", "test_waiting.py"}
WITH_SERVERS = OF_BOTH | {"conftest.py", "test_bot_on_servers.py"}


def pytest_in(directory: Path, names: set[str]) -> str:
    """Run the files in an empty place, without any server of ours; return the last line."""
    for name in names:
        (directory / name).write_text(FILES[name])
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    ended = fork_server.shared().run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=directory,
        env={**kept, "HOME": str(directory)},
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()[-1]


def number_of_tests(names: set[str]) -> int:
    return sum(len(re.findall(r"^async def test_", FILES[name], re.MULTILINE)) for name in names)


def test_every_block_of_the_page_is_run() -> None:
    assert set(FILES) == WITH_THE_STAND_IN | WITH_SERVERS
    assert PAGE.count("\n```") == 2 * len(FILES)


def test_the_tests_with_the_stand_in_pass(tmp_path: Path) -> None:
    said = pytest_in(tmp_path, WITH_THE_STAND_IN)

    assert said.startswith(f"{number_of_tests(WITH_THE_STAND_IN)} passed in ")


def test_the_tests_on_real_servers_pass(tmp_path: Path) -> None:
    said = pytest_in(tmp_path, WITH_SERVERS)

    assert said.startswith(f"{number_of_tests(WITH_SERVERS)} passed in ")
