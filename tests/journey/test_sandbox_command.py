"""`imagegen sandbox comfyui` as people run it: what it says, how it misbehaves, how it ends."""

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import ClientTimeout

from imagegen import resources
from imagegen.sandbox.comfyui.faults.kinds import MEANINGS, FaultKind
from imagegen.workflows.library import load_workflows, required_model_files
from tests.support import fork_server
from tests.support.comfyui_client import connect_client, graph_without_model
from tests.support.fork_server import RecordedCommand
from tests.support.patience import PATIENCE_S

START = "from imagegen.cli import main; main(prog_name='imagegen')"
COMMAND = (sys.executable, "-c", START, "sandbox", "comfyui")
FROZEN = ClientTimeout(total=0.1)

pytestmark = pytest.mark.timeout(90)


@contextmanager
def running(*arguments: str) -> Iterator[tuple[RecordedCommand, str]]:
    """Run the command on a free port, and give its address once it has said that."""
    with RecordedCommand(
        fork_server.shared(),
        [*COMMAND, "--port", "0", "--seconds-per-picture", "0", *arguments],
        env={"PATH": os.environ["PATH"]},
        cwd=Path.cwd(),
    ) as started:
        ends = time.monotonic() + PATIENCE_S
        while "\n" not in started.stdout:
            assert started.process.poll() is None, started.stderr
            assert time.monotonic() < ends, started.stderr
            time.sleep(0.01)
        yield started, started.stdout.splitlines()[0].rpartition("http://")[2].strip()


def said(*arguments: str) -> tuple[int, str, str]:
    """Run the command until it ends by itself."""
    done = fork_server.shared().run(
        [*COMMAND, *arguments],
        timeout=PATIENCE_S,
        env={"PATH": os.environ["PATH"], "COLUMNS": "120"},
        cwd=Path.cwd(),
    )
    return done.returncode, done.stdout, done.stderr


async def test_it_says_where_it_listens_and_draws_with_the_shipped_models() -> None:
    files = required_model_files(load_workflows(resources.path("workflows")))
    with running() as (_, address):
        assert re.fullmatch(r"127\.0\.0\.1:\d+", address)
        async with connect_client(address) as client:
            assert "execution_success" in await client.wait_for_end(
                await client.post(graph_without_model(1))
            )
            assert await client.get("/models/loras") == sorted(files["loras"])
            assert (await client.get("/sandbox/account"))["drawn"] == 1


async def test_it_has_the_models_and_the_version_that_are_asked_for() -> None:
    models = ("--model", "loras=a.safetensors", "--model", "loras=b.safetensors")
    with running("--version", "0.3.64", *models) as (_, address):
        async with connect_client(address) as client:
            assert await client.get("/models/loras") == ["a.safetensors", "b.safetensors"]
            stats = await client.get("/system_stats")
            assert stats["system"]["comfyui_version"] == "0.3.64"


async def test_it_misbehaves_as_told() -> None:
    faults = ("--fault", "drop:at=execution_success", "--fault", "unavailable:route=/queue")
    with running("--seed", "7", *faults) as (_, address):
        async with connect_client(address) as client:
            await client.post(graph_without_model(1))
            events = [message.json()["type"] async for message in client.socket]
            assert "execution_success" not in events
            assert (await client.session.get("/queue")).status == 503


async def test_it_dies_and_comes_back_in_the_same_process() -> None:
    with running("--fault", "restart:at=over,seconds=0.05") as (command, address):
        async with connect_client(address) as client:
            await client.post(graph_without_model(1))
            async for _ in client.socket:
                pass
        assert command.process.poll() is None
        ends = time.monotonic() + PATIENCE_S
        while not answers(address):
            assert time.monotonic() < ends
        async with connect_client(address) as client:
            assert await client.get("/history") == {}


def answers(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_soon_whatever_hangs(number: signal.Signals) -> None:
    with running("--fault", "freeze:at=accepted") as (command, address):
        async with connect_client(address) as client:
            await client.send("/sandbox/faults", {"faults": ["restart:every=60"]})
            with pytest.raises(TimeoutError):
                await client.session.post(
                    "/prompt", json={"prompt": graph_without_model(1)}, timeout=FROZEN
                )
            began = time.monotonic()

            command.process.send_signal(number)
            code, err = command.process.wait(PATIENCE_S), command.stderr

    assert time.monotonic() - began < 10
    assert code == 0
    assert "Traceback" not in err


def test_the_help_lists_every_fault() -> None:
    code, out, _ = said("--help")

    listed = re.findall(r"^  ([a-z-]+)(?: [a-z]+)*  +[A-Z]", out, flags=re.MULTILINE)
    assert code == 0
    assert set(FaultKind) <= set(listed)
    assert all(meaning.line.split(":")[0] in " ".join(out.split()) for meaning in MEANINGS.values())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--fault", "dorp"], "there is no fault 'dorp'"),
        (["--fault", "drop:at=noon"], "drop: at must be one of "),
        (["--model", "ae.safetensors"], "'ae.safetensors' is no FOLDER=FILE"),
    ],
)
def test_what_cannot_be_played_is_told_in_a_sentence(arguments: list[str], told: str) -> None:
    code, out, err = said(*arguments)

    assert (code, out) == (2, "")
    assert err.startswith(f"imagegen sandbox comfyui: {told}")
    assert len(err.splitlines()) == 1


def test_a_taken_port_is_told_in_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        code, out, err = said("--port", str(port))

    assert (code, out) == (1, "")
    assert err == f"imagegen sandbox comfyui: no ComfyUI on 127.0.0.1:{port}: the port is taken\n"
