"""`imagegen hosts`: what people see of a fleet, asked of real sandbox hosts."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from imagegen import resources
from imagegen.cli.host_inspection import host_rows
from imagegen.comfy.host_report import HostReport
from imagegen.monitoring.host_status import PublishedHost
from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.servers.valkey import ValkeyServer
from imagegen.workflows.library import Library
from tests.support import fork_server
from tests.support.conversations import Sessions
from tests.support.misbehaving_comfyui import misbehaving, never_answers
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, required_models

IMAGEGEN = str(Path(sys.executable).with_name("imagegen"))
POOR = {**required_models(), "loras": ["other.safetensors"]}


async def test_a_fleet_that_can_draw_everything_is_well() -> None:
    async with SandboxComfyUI(models=required_models()) as host:
        [row], code = await _json(host.address)

    assert code == 0
    assert (row["host"], row["state"], row["version"]) == (host.address, "up", "0.33.0")
    assert row["devices"][0]["memory"] == 24 * 2**30
    assert (len(row["can_draw"]), row["lacks"]) == (8, {})
    assert row["slots"] is None


async def test_what_a_host_lacks_is_named_by_persona() -> None:
    async with (
        SandboxComfyUI(models=POOR) as poor,
        SandboxComfyUI(models=required_models()) as rich,
    ):
        text, code = await _run(f"{poor.address},{rich.address}")

    assert code == 0  # one host can draw each of them
    assert f"{poor.address} cannot draw ash: LoraLoaderModelOnly has no lora_name" in text
    assert "0 of 8" in text
    assert "8 of 8" in text


async def test_a_persona_that_nobody_can_draw_is_a_fault() -> None:
    async with SandboxComfyUI(models=POOR) as poor:
        _, code = await _run(poor.address)

    assert code == 1


@pytest.mark.parametrize(
    ("conditions", "worst"),
    [
        (("up", "suspect"), "suspect"),
        (("suspect", "up", "down", "aside"), "down"),
        (("suspect", "aside", "up"), "aside"),
        (("down", "of tomorrow"), "of tomorrow"),
    ],
)
def test_a_host_is_as_the_worker_sees_it_for_which_it_is_worst(
    conditions: Sequence[str], worst: str
) -> None:
    published = [
        PublishedHost(
            name="gpu-1",
            condition=condition,
            slots=2,
            taken=0,
            model_set=None,
            why=f"it is {condition}",
        )
        for condition in conditions
    ]

    [row] = host_rows(
        [HostReport(name="gpu-1")],
        published,
        Library(workflows={}, faults={}),
        are_shared=False,
    )

    assert (row.state, row.why) == (worst, f"it is {worst}")


@pytest.mark.parametrize(("are_shared", "slots"), [(False, 4), (True, 2)])
def test_workers_that_share_a_host_have_its_slots_together(*, are_shared: bool, slots: int) -> None:
    published = [
        PublishedHost(name="gpu-1", condition="up", slots=2, taken=1, model_set=None, why=None)
        for _ in range(2)
    ]

    [row] = host_rows(
        [HostReport(name="gpu-1")],
        published,
        Library(workflows={}, faults={}),
        are_shared=are_shared,
    )

    assert (row.taken, row.slots) == (2, slots)


async def test_a_host_that_is_down_and_one_that_hangs_are_rows_with_their_reasons() -> None:
    async with (
        SandboxComfyUI(models=required_models()) as down,
        misbehaving(answers={"GET /system_stats": never_answers}) as hanging,
    ):
        await down.kill()
        rows, code = await _json(f"{down.address},{hanging.address}", "--timeout", "0.5")

    assert code == 1
    assert [row["state"] for row in rows] == ["down", "down"]
    assert "does not answer" in rows[0]["why"]
    assert rows[1]["why"] == "no answer within 0.5 s"


async def test_what_is_no_comfyui_is_said_to_be_none() -> None:
    async with misbehaving(prefix="/comfy") as other:
        [row], code = await _json(other.address, COMFYUI_TOKEN="hush")

    assert (row["state"], code) == ("down", 1)
    assert "no ComfyUI" in row["why"]
    assert other.calls[0].headers["Authorization"] == "Bearer hush"


async def test_the_worker_tells_its_slots_and_what_was_drawn_last(
    database_url: str, redis_url: str, sessions: Sessions, tmp_path: Path
) -> None:
    products = ProductFactory(database_url, redis_url, sessions, tmp_path / "images")
    async with products.start() as product:
        await product.picture(persona="lina")

        async with asyncio.timeout(PATIENCE_S):
            row: dict[str, Any] = {"last_drew": []}
            while row["last_drew"] != ["lina"]:
                [row], _ = await _json(product.hosts[0].address, REDIS_URL=redis_url)

    assert (row["slots"], row["slots_taken"]) == (2, 0)


async def test_what_a_newer_worker_publishes_is_read_as_far_as_it_is_known(
    redis_url: str,
) -> None:
    async with (
        SandboxComfyUI(models=required_models()) as host,
        Redis.from_url(redis_url, db=4) as redis,
    ):
        known = {"name": host.address, "condition": "resting", "slots": 2, "taken": 1}
        newer = {**known, "model_set": None, "why": "it is warm", "temperature": 80}
        for number, packed in enumerate((json.dumps([newer]), '{"hosts": []}', "a new form")):
            await redis.set(f"imagegen:hosts:{number}", packed)

        [row], _ = await _json(host.address, REDIS_URL=redis_url)

    assert (row["state"], row["why"]) == ("resting", "it is warm")
    assert (row["slots"], row["slots_taken"]) == (2, 1)


@pytest.mark.parametrize("hosts", ["", "no host,", "a:1,a:1"])
async def test_a_wrong_setting_is_a_sentence(hosts: str) -> None:
    text, code = await _run(hosts)

    assert code == 2
    assert text.startswith("imagegen: COMFYUI_HOSTS")


async def test_a_redis_that_is_away_is_said_and_is_not_called_no_worker() -> None:
    async with SandboxComfyUI(models=required_models()) as host:
        ended = await _ended(host.address)

    assert ended.returncode == 0
    assert "no worker" not in ended.stdout
    assert "unknown" in ended.stdout
    assert "redis://localhost:1 refuses the connection" in ended.stderr


async def test_a_wrong_redis_password_is_a_wrong_setting() -> None:
    with ValkeyServer() as valkey:
        text, code = await _run("127.0.0.1:1", REDIS_URL=f"redis://:hush@127.0.0.1:{valkey.port}")

    assert code == 2
    assert text.startswith("imagegen: REDIS_PASSWORD or REDIS_URL: redis://127.0.0.1:")
    assert "refuses the password" in text
    assert "hush" not in text


async def test_a_persona_whose_folder_is_broken_is_named_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "lina").mkdir()
    (tmp_path / "lina" / "persona.toml").write_text("nothing = [")
    async with SandboxComfyUI(models=required_models()) as host:
        ended = await _ended(host.address, PERSONAS_DIR=str(tmp_path))

    assert ended.returncode == 1
    assert "imagegen: lina cannot be drawn by any host: lina/persona.toml" in ended.stderr
    assert str(tmp_path / "lina") in ended.stderr
    assert "7 of 7" in ended.stdout


async def test_a_persona_whose_files_break_a_ban_is_named_with_the_sentence(tmp_path: Path) -> None:
    (tmp_path / "lina").mkdir()
    shipped = resources.path("workflows") / "lina" / "persona.toml"
    inputs = '\n[inputs]\n"Persona LoRA".lora_name = "schoolgirl_v2.safetensors"\n'
    (tmp_path / "lina" / "persona.toml").write_text(shipped.read_text() + inputs)
    async with SandboxComfyUI(models=required_models()) as host:
        ended = await _ended(host.address, PERSONAS_DIR=str(tmp_path))

    assert ended.returncode == 1
    assert (
        'lina cannot be drawn by any host: lina/persona.toml: node 57:34 "Persona LoRA"'
        " (LoraLoaderModelOnly), input lora_name: breaks a ban (minor_drawn):"
        " 'schoolgirl_v2.safetensors'"
    ) in ended.stderr


async def _json(hosts: str, *arguments: str, **variables: str) -> tuple[list[Any], int]:
    ended = await _ended(hosts, "--json", *arguments, **variables)
    return json.loads(ended.stdout), ended.returncode


async def _run(hosts: str, *arguments: str, **variables: str) -> tuple[str, int]:
    ended = await _ended(hosts, *arguments, **variables)
    return ended.stdout + ended.stderr, ended.returncode


async def _ended(hosts: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    around: Mapping[str, str] = {
        "PATH": os.environ["PATH"],
        # No server listens there, so that another Redis on this machine is not asked.
        "REDIS_PORT": "1",
        "COMFYUI_HOSTS": hosts,
        **variables,
    }
    return await asyncio.to_thread(
        fork_server.shared().run,
        [IMAGEGEN, "hosts", *arguments],
        env=around,
        cwd=Path.cwd(),
        timeout=PATIENCE_S,
    )
