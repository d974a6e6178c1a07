"""The sandbox ComfyUI says frame by frame what real servers of both versions said."""

import json
from functools import partial
from typing import Any

import pytest
from aiohttp import ClientSession

from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.comfyui_recording import RECORDINGS, comparable, read_recording, recorded
from tests.comfyui_replay import Replay

VERSIONS = ("0.33", "0.3.64")
SCENARIOS = (
    "s01_success_saveimage",
    "s02_success_previewimage",
    "s03_success_saveimagewebsocket",
    "s04_zimage_workflow",
    "s08_invalid",
    "s12_errors",
    "s17_caching",
)

# The recorded client posted while earlier prompts were still running: how many were left at each
# status, and where it stands among the other frames, was a race.
RACING = {"s08_invalid"}

MODELS = {
    "diffusion_models": [
        "corrupt.safetensors",
        "unknown_arch.safetensors",
        "z_image_turbo_bf16.safetensors",
    ],
    "text_encoders": ["qwen_3_4b.safetensors"],
    "vae": ["ae.safetensors", "corrupt.safetensors"],
    "loras": ["nomatch_lora.safetensors", "tiny_lora.safetensors"],
}

# Eight steps of 18 ms, about as fast as the recorded machine: 0.33 then tells steps 1, 7 and 8.
SECONDS_PER_PICTURE = 0.144

DELETED = "file of the cached result deleted from disk, then posted again: history still names it?"


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("version", VERSIONS)
async def test_it_says_what_the_recorded_server_said(version: str, scenario: str) -> None:
    recording = read_recording(RECORDINGS / version / f"{scenario}.jsonl")
    sandbox = SandboxComfyUI(
        version=version, models=MODELS, seconds_per_picture=SECONDS_PER_PICTURE
    )
    on_note = {DELETED: partial(sandbox.files.delete, "rec_00002_.png")}

    async with sandbox, Replay(sandbox.address, on_note=on_note) as replay:
        await replay.play(recording)

    expected = comparable(recorded(recording))
    told = comparable(replay.heard, replay.ids)
    assert told.keys() == expected.keys()
    for part in expected:
        assert _fixed(told, part, expected, scenario) == _fixed(expected, part, expected, scenario)


@pytest.mark.parametrize("version", VERSIONS)
async def test_it_defines_every_recorded_node_class(version: str) -> None:
    files = sorted((RECORDINGS / version / "object_info").glob("*.json"))
    defined = [json.loads(file.read_text(encoding="utf-8")) for file in files]

    async with (
        SandboxComfyUI(version=version, models=MODELS) as sandbox,
        ClientSession(f"http://{sandbox.address}") as session,
        session.get("/object_info") as response,
    ):
        told = await response.json()

    assert told == {name: class_ for each in defined for name, class_ in each.items()}


def _fixed(said: Any, part: str, expected: Any, scenario: str) -> list[Any]:
    """Leave out what was a race on the recorded server."""
    if part == "http":
        # A history that was asked for in the moment between success and the entry was empty.
        return [
            answer
            for answer, theirs in zip(said[part], expected[part], strict=True)
            if theirs["response"] != {}
        ]
    if scenario not in RACING:
        return list(said[part])
    statuses = [frame for frame in said[part] if frame.get("type") == "status"]
    others = [frame for frame in said[part] if frame.get("type") != "status"]
    return [*others, f"{len(statuses)} statuses", statuses[-1]]
