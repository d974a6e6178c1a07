"""The sandbox ComfyUI says frame by frame what real servers of both versions said."""

import asyncio
import json
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse

from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.comfyui.state import HostFlags
from tests.support.comfyui_recording import RECORDINGS, Line, comparable, read_recording, recorded
from tests.support.comfyui_replay import Replay
from tests.support.patience import PATIENCE_S
from tests.support.paused_comfyui import StepGate

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
    "s15_http_shapes",
    "s16_upload",
    "s17_caching",
    "s22_interrupt_races",
    "s25_preview_frames",
    "s29_filename_reuse",
)
SCENARIOS = [(version, scenario) for version in VERSIONS for scenario in OF_BOTH] + [
    ("0.33", "s26_jobs_api"),
]
# How the recorded server was started, where it was not plainly.
FLAGS = {
    ("0.3.64", "s25_preview_frames"): HostFlags(preview_method="latent2rgb"),
    ("0.3.64", "s29_filename_reuse"): HostFlags(cache_lru=50),
    ("0.33", "s29_filename_reuse"): HostFlags(cache_lru=50),
}

# What the recorded client sent with its calls, by their number: half a picture, and requests as
# pages of other sites make them.
_FOREIGN = {"Origin": "http://elsewhere.example"}
HEADERS: dict[str, dict[int, dict[str, str]]] = {
    "s15_http_shapes": {
        27: {"Range": "bytes=0-99"},
        50: _FOREIGN,
        51: _FOREIGN,
        52: {"Sec-Fetch-Site": "cross-site"},
        54: _FOREIGN,
    }
}

# Answers by their number of which only the status is compared: the machine's own figures, a prompt
# of an earlier scene, how pixels are packed.
ASIDE = {"s15_http_shapes": (3, 10, 17)}

# The recorded client posted in the middle of a node: where the longer queue stands among the
# frames of that node was a race.
RACING = {"s13_interrupt", "s14_queue_delete", "s22_interrupt_races"}

# Forty prompts that were interrupted at once, of which the recording has the frames alone.
RACES_BEGIN = "40 x: POST /prompt, then at once POST /interrupt {prompt_id}"
RACES_END = "outcomes: "

# Which steps of a sampler are told depends on how fast the machine was from prompt to prompt.
PACED = {"s13_interrupt", "s22_interrupt_races", "s25_preview_frames"}

GRAPH = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0},
    },
    "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
}
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
# Four hundred steps, of which 0.33 told each fourth; sixty, of which it told each sixth; a few slow
# ones, of which it told all.
OTHER_SECONDS = {
    ("0.33", "s13_interrupt"): 11.2,
    ("0.33", "s22_interrupt_races"): 1.08,
    ("0.33", "s25_preview_frames"): 1.0,
}

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
    recording = _without_races(read_recording(RECORDINGS / version / f"{scenario}.jsonl"))
    gate = StepGate()
    sandbox = SandboxComfyUI(
        version=version,
        models=MODELS,
        seconds_per_picture=OTHER_SECONDS.get((version, scenario), SECONDS_PER_PICTURE),
        sleep=gate.sleep,
        flags=FLAGS.get((version, scenario)),
    )

    async def tidy(replay: Replay) -> None:
        sandbox.files.delete(DELETED[replay.note])

    on_note = {**dict.fromkeys(DELETED, tidy), RACES_BEGIN: _use_numbers_up}
    headers = HEADERS.get(scenario)
    async with sandbox, Replay(sandbox.address, gate, on_note=on_note, headers=headers) as replay:
        await replay.play(recording)

    aside = ASIDE.get(scenario, ())
    expected = comparable(_without_bodies(recorded(recording), aside))
    told = comparable(_without_bodies(replay.heard, aside), replay.ids)
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


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_history_may_lag_behind_success_and_never_behind_the_end(version: str) -> None:
    gate = StepGate()
    async with (
        SandboxComfyUI(version=version, sleep=gate.sleep) as sandbox,
        ClientSession(f"http://{sandbox.address}") as session,
        session.ws_connect("/ws?clientId=a") as wire,
    ):
        async with session.post("/prompt", json={"prompt": GRAPH, "client_id": "a"}) as response:
            prompt_id = (await response.json())["prompt_id"]

        await _heard(wire, gate, "execution_success")
        async with session.get(f"/history/{prompt_id}") as response:
            after_success = await response.json()
        await _heard(wire, gate, "executing", node=None)
        async with session.get(f"/history/{prompt_id}") as response:
            after_the_end = await response.json()

    # As noted of 150 prompts of each real server: empty 42 times, and then never.
    assert after_success == {}
    assert list(after_the_end) == [prompt_id]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("is_begun", "end"), [(False, "execution_success"), (True, "execution_interrupted")]
)
async def test_an_interrupt_right_after_a_post_gets_lost_if_the_prompt_has_not_begun(
    version: str, *, is_begun: bool, end: str
) -> None:
    """Of forty on each real server 37 and 30 were interrupted, the others went on to their end."""
    gate = StepGate()
    async with (
        SandboxComfyUI(version=version, sleep=gate.sleep) as sandbox,
        ClientSession(f"http://{sandbox.address}") as session,
        session.ws_connect("/ws?clientId=a") as wire,
    ):
        async with session.post("/prompt", json={"prompt": GRAPH, "client_id": "a"}) as response:
            wish = {"prompt_id": (await response.json())["prompt_id"]}
        if is_begun:
            await _heard(wire, gate, "execution_start")

        async with session.post("/interrupt", json=wish):
            await _heard(wire, gate, end)


async def _use_numbers_up(replay: Replay) -> None:
    for _ in range(40):
        async with replay.session.post("/prompt", json={"prompt": {}}):
            pass


def _without_races(lines: Sequence[Line]) -> list[Line]:
    """Leave out what was said of prompts whose posts are not in the recording, if there are any."""
    notes = [line.data if line.direction == "note" else "" for line in lines]
    if RACES_BEGIN not in notes:
        return list(lines)
    begin = notes.index(RACES_BEGIN)
    end = next(n for n, note in enumerate(notes) if str(note).startswith(RACES_END))
    answers = [line.data["response"] for line in lines if line.direction == "http"]
    posted = {answer["prompt_id"] for answer in answers if answer}
    return [
        line
        for number, line in enumerate(lines)
        if not line.is_frame
        or (not begin < number < end and not (number > end and _is_of_a_race(line, posted)))
    ]


def _is_of_a_race(line: Line, posted: Collection[str]) -> bool:
    """Tell the last racing prompt's frames, and of a queue that still held it, from the others."""
    match line.data:
        case {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": queued}}}}:
            return bool(queued > 1)
        case {"data": {"prompt_id": prompt_id}}:
            return prompt_id not in posted
        case _:
            return False


async def _heard(
    wire: ClientWebSocketResponse, gate: StepGate, event: str, **facts: object
) -> None:
    """Let the server go on until it has told of an event, and no further."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                frame = await wire.receive_json(timeout=0.05)
            except TimeoutError:
                if gate.is_waiting:
                    gate.release()
                continue
            if frame["type"] == event and frame["data"] == frame["data"] | facts:
                return


def _without_bodies(said: dict[str, list[Any]], numbers: Collection[int]) -> dict[str, list[Any]]:
    answers = [
        {**answer, "response": None} if number in numbers else answer
        for number, answer in enumerate(said["http"])
    ]
    return {**said, "http": answers}


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
