"""`imagegen personas check` and `new`: the files of personas, for the people who write them."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagegen import resources
from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support import command
from tests.support.product import required_models
from tests.support.workflow_exports import node, plain, write_persona_folder

WORKFLOWS = resources.path("workflows")
POOR = {**required_models(), "loras": ["other.safetensors"]}
NO_HOST = "imagegen: no host was asked: COMFYUI_HOSTS is not set"


def with_film() -> dict[str, Any]:
    """Make a graph with words that would stay in every picture."""
    joined = node("ConditioningConcat", conditioning_to=["27", 0], conditioning_from=["71", 0])
    graph = plain(**{"70": joined, "71": node("CLIPTextEncode", text="film", clip=["30", 0])})
    graph["3"]["inputs"]["positive"] = ["70", 0]
    return graph


def write_png(file: Path, graph: Any) -> Path:
    info = PngInfo()
    info.add_text("prompt", json.dumps(graph))
    Image.new("RGB", (8, 8)).save(file, pnginfo=info)
    return file


async def test_people_see_what_is_set_and_what_each_host_lacks(tmp_path: Path) -> None:
    picture = tmp_path / "lina.svg"
    async with (
        SandboxComfyUI(models=POOR) as poor,
        SandboxComfyUI(models=required_models()) as rich,
    ):
        ended = await command.run(
            *("personas", "check", str(WORKFLOWS / "lina"), "--svg", str(picture)),
            COMFYUI_HOSTS=f"{poor.address},{rich.address}",
        )

    lines = ended.stdout.splitlines()
    assert (ended.code, ended.stderr) == (0, "")
    assert lines[0] == "lina/workflow.json can be drawn"
    assert [line.split()[0] for line in lines[1:6]] == [
        *("prompt", "seed", "width", "height", "picture")
    ]
    assert f"  host       {rich.address}: has everything" in lines
    assert f"  host       {poor.address}: LoraLoaderModelOnly has no lora_name" in ended.stdout
    assert picture.read_text("utf-8").startswith("<svg ")


async def test_a_persona_that_no_host_can_draw_is_a_fault() -> None:
    async with SandboxComfyUI(models=POOR) as poor:
        ended = await command.run(
            *("personas", "check", str(WORKFLOWS / "may"), "--json"), COMFYUI_HOSTS=poor.address
        )

    (persona,) = ended.json
    lacks = persona["hosts"][0]["lacks"]
    assert (ended.code, persona["state"], persona["why"]) == (1, "ok", None)
    assert {"role": "seed", "input": "seed"}.items() <= persona["uses"][1].items()
    assert "KSampler" in persona["classes"]
    assert "LoraLoaderModelOnly has no lora_name 'may_zit.safetensors'" in lacks


async def test_all_folders_of_a_directory_are_checked() -> None:
    ended = await command.run("personas", "check", str(WORKFLOWS))

    assert ended.code == 0
    assert ended.stdout.count(" can be drawn\n") == 8
    assert ended.stderr.startswith(NO_HOST)


async def test_advice_can_be_followed_in_the_new_folder(tmp_path: Path) -> None:
    source = write_png(tmp_path / "picture.png", with_film())
    written = await command.run(
        *("personas", "new", "Nora", "--from", str(source)), PERSONAS_DIR=str(tmp_path / "own")
    )
    folder = tmp_path / "own" / "nora"
    with (folder / "persona.toml").open("a", encoding="utf-8") as toml:
        toml.write('[nodes]\ntext = "27"\nkeep = ["71"]\n')
    followed = await command.run("personas", "check", str(folder))

    assert written.code == 1
    assert f"written: {folder}\ntrigger_words is empty, as none was found" in written.stdout
    assert 'text = { node = "27", input = "text" }' in written.stdout
    assert followed.code == 0
    assert "  kept       71 (CLIPTextEncode)" in followed.stdout


async def test_a_new_folder_that_a_worker_would_draw_is_no_fault_whatever_hosts_have(
    tmp_path: Path,
) -> None:
    words = node("CLIPTextEncode", text="ameg2, a woman", clip=["30", 0])
    source = write_png(tmp_path / "picture.png", plain(**{"27": words}))
    async with SandboxComfyUI(models=POOR) as poor:
        ended = await command.run(
            *("personas", "new", "yuna", "--from", str(source), "--into", str(tmp_path / "own")),
            COMFYUI_HOSTS=f"{poor.address},localhost:1",
        )

    lines = ended.stdout.splitlines()
    assert (ended.code, ended.stderr) == (0, "")
    assert lines[:3] == [
        f"written: {tmp_path / 'own' / 'yuna'}",
        (
            "display_name is Alex, since the folder's name breaks a ban (minor_drawn): 'Yuna':"
            " write the name that you like"
        ),
        "trigger_words are those of the graph's prompt: ameg2",
    ]
    assert "yuna/workflow.json can be drawn" in lines
    assert "LoraLoaderModelOnly has no lora_name 'lina.safetensors'" in ended.stdout
    assert "localhost:1: does not answer" in ended.stdout


async def test_an_existing_folder_is_left_as_it_is(tmp_path: Path) -> None:
    folder = write_persona_folder(tmp_path, plain(), persona="nora")
    before = (folder / "persona.toml").read_text("utf-8")

    ended = await command.run(
        *("personas", "new", "nora", "--from", str(folder / "workflow.json")),
        *("--into", str(tmp_path)),
    )

    assert (ended.code, ended.stderr) == (2, f"imagegen: {folder} exists\n")
    assert (folder / "persona.toml").read_text("utf-8") == before


@pytest.mark.parametrize(
    ("name", "content", "code", "sentence"),
    [
        ("nora", "{}", 1, "the graph has no nodes"),
        ("nora", "nothing", 1, "is not JSON"),
        ("../nora", "{}", 2, "is no name"),
        ("_nora", "{}", 2, "is no name"),
    ],
)
async def test_nothing_is_written_for_what_is_no_graph_or_no_name(
    tmp_path: Path, name: str, content: str, code: int, sentence: str
) -> None:
    source = tmp_path / "graph.json"
    source.write_text(content, encoding="utf-8")

    ended = await command.run(
        *("personas", "new", name, "--from", str(source), "--into", str(tmp_path / "own"))
    )

    assert (ended.code, ended.stdout) == (code, "")
    assert sentence in ended.stderr
    assert not (tmp_path / "own").exists()
