"""The sandbox ComfyUI says frame by frame what real servers of both versions said."""

import json
from typing import Any

import pytest
from aiohttp import ClientSession

from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.comfyui.flags import Flags
from tests.comfyui_recording import RECORDINGS, comparable, read_recording, recorded
from tests.comfyui_reins import Reins
from tests.comfyui_replay import Replay

VERSIONS = ("0.33", "0.3.64")
OF_BOTH = (
    "s01_success_saveimage",
    "s02_success_previewimage",
    "s03_success_saveimagewebsocket",
    "s04_zimage_workflow",
    "s05_feature_flags",
    "s06_prompt_ids",
    "s07_number_front",
    "s08_invalid",
    "s09_no_ws",
    "s10_reconnect",
    "s11_same_client_two_sockets",
    "s12_errors",
    "s13_interrupt",
    "s14_queue_delete",
    "s16_upload",
    "s17_caching",
    "s25_preview_frames",
    "s29_filename_reuse",
)
SCENARIOS = [(version, scenario) for version in VERSIONS for scenario in OF_BOTH] + [
    ("0.33", "s26_jobs_api"),
]
# How the recorded server was started, where it was not plainly.
FLAGS = {
    ("0.3.64", "s25_preview_frames"): Flags(preview_method="latent2rgb"),
    ("0.3.64", "s29_filename_reuse"): Flags(cache_lru=50),
    ("0.33", "s29_filename_reuse"): Flags(cache_lru=50),
}

# The recorded client posted in the middle of a node: where the longer queue stands among the
# frames of that node was a race.
RACING = {"s13_interrupt", "s14_queue_delete"}

# Which steps of a sampler are told depends on how fast the machine was from prompt to prompt.
PACED = {"s13_interrupt", "s25_preview_frames"}

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
# Four hundred steps, of which 0.33 told each fourth; a few slow ones, of which it told all.
OTHER_SECONDS = {("0.33", "s13_interrupt"): 11.2, ("0.33", "s25_preview_frames"): 1.0}

# Files that the recorded client deleted when it had noted this.
DELETED = {
    "file of the cached result deleted from disk, then posted again: history still names it?": (
        "rec_00002_.png"
    ),
    "red -> rec_00001_.png; the client downloads it and the file is removed (clean-up)": (
        "rec_00001_.png"
    ),
}


@pytest.mark.parametrize(("version", "scenario"), SCENARIOS)
async def test_it_says_what_the_recorded_server_said(version: str, scenario: str) -> None:
    recording = read_recording(RECORDINGS / version / f"{scenario}.jsonl")
    reins = Reins()
    sandbox = SandboxComfyUI(
        version=version,
        models=MODELS,
        seconds_per_picture=OTHER_SECONDS.get((version, scenario), SECONDS_PER_PICTURE),
        sleep=reins.sleep,
        flags=FLAGS.get((version, scenario)),
    )

    async def tidy(replay: Replay) -> None:
        sandbox.files.delete(DELETED[replay.note])

    on_note = dict.fromkeys(DELETED, tidy)
    async with sandbox, Replay(sandbox.address, reins, on_note=on_note) as replay:
        await replay.play(recording)

    expected = comparable(recorded(recording))
    told = comparable(replay.heard, replay.ids)
    if scenario in PACED:
        expected, told = _without_steps(expected), _without_steps(told)
    if scenario in RACING:
        expected, told = _by_kind(expected), _by_kind(told)
    assert told == expected


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


def _by_kind(said: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Part what each socket heard into statuses and the rest, each in its order."""
    return {
        part: [frame for frame in frames if frame.get("type") == "status"]
        + [frame for frame in frames if frame.get("type") != "status"]
        for part, frames in said.items()
    }


def _without_steps(said: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {part: [each for each in frames if not _is_step(each)] for part, frames in said.items()}


def _is_step(frame: dict[str, Any]) -> bool:
    match frame:
        case {"type": "progress"}:
            return True
        case {"type": "progress_state", "data": {"nodes": nodes}}:
            return any(node["state"] == "running" and node["value"] for node in nodes.values())
        case _:
            return False
