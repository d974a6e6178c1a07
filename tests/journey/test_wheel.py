"""The wheel in an empty environment and an empty directory: it migrates and runs the demo."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("imagegen", "chatflow_", "_editable_impl_chatflow", "__editable__")

pytestmark = pytest.mark.timeout(180)


def run(command: Sequence[str], *, cwd: Path, **variables: str) -> str:
    """Run a command with next to nothing around it and return what it printed."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    ended = subprocess.run(
        command,
        cwd=cwd,
        env={**kept, "HOME": str(cwd), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and install it; return the bin directory of its environment.

    The dependencies come from this environment by links, all but the project itself.
    """
    home = tmp_path_factory.mktemp("an empty place")
    here = Path(sysconfig.get_path("purelib"))
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(home)], cwd=ROOT)
    (wheel,) = home.glob("*.whl")
    venv.create(home / "venv", with_pip=False, symlinks=True)
    there = next((home / "venv" / "lib").glob("python*")) / "site-packages"
    for entry in here.iterdir():
        if not entry.name.startswith(OURS):
            (there / entry.name).symlink_to(entry)
    unpack = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])"
    run([sys.executable, "-c", unpack, str(wheel), str(there)], cwd=home)
    return home / "venv" / "bin"


def imagegen(installed: Path, *arguments: str) -> list[str]:
    start = "from imagegen.cli import main; main(prog_name='imagegen')"
    return [str(installed / "python"), "-c", start, *arguments]


def test_the_project_comes_from_the_wheel_and_brings_no_alembic_of_its_own(
    installed: Path, tmp_path: Path
) -> None:
    look = "import imagegen, chatflow_hook, alembic.op\nfor each in (imagegen, chatflow_hook): print(each.__file__)"

    files = run([str(installed / "python"), "-c", look], cwd=tmp_path).splitlines()

    assert all(file.startswith(str(installed.parent)) for file in files)


async def test_the_wheel_migrates(installed: Path, tmp_path: Path, empty_database_url: str) -> None:
    said = run(imagegen(installed, "migrate"), cwd=tmp_path, DATABASE_URL=empty_database_url)

    assert said == "the database is up to date\n"
    connection = await asyncpg.connect(empty_database_url)
    assert await connection.fetchval("SELECT count(*) FROM image_requests") == 0
    await connection.close()


def test_the_wheel_runs_the_demo(installed: Path, tmp_path: Path) -> None:
    said = run(imagegen(installed, "demo", "--once", "--personas", "ash"), cwd=tmp_path)

    assert said.splitlines()[-1].startswith("delivered 1 of 1 pictures in ")
    assert [path.name for path in tmp_path.iterdir()] == ["demo-output"]
    assert (tmp_path / "demo-output" / "ash.png").read_bytes().startswith(b"\x89PNG")
