"""`imagegen draw`: one picture through a host, and nothing that a worker would not draw."""

import io
from pathlib import Path

import pytest
from PIL import Image

from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support import command
from tests.support.comfyui_client import connect_client
from tests.support.command import CommandResult
from tests.support.product import required_models

TEXT = "She reads a book in a garden, morning light."


async def draw(out: Path, *arguments: str, hosts: str, text: str = TEXT) -> CommandResult:
    return await command.run(
        *("draw", "--persona", "lina", text, "--out", str(out)),
        *arguments,
        COMFYUI_HOSTS=hosts,
        MAX_RATING="explicit",
    )


async def test_a_picture_is_written_and_nothing_is_left_on_the_host(tmp_path: Path) -> None:
    out = tmp_path / "lina.png"
    async with (
        SandboxComfyUI(models=required_models()) as host,
        connect_client(host.address) as client,
    ):
        result = await draw(out, "--seed", "42", "--json", hosts=host.address)
        left = await client.get("/history")

    with Image.open(io.BytesIO(out.read_bytes())) as image:
        assert image.format == "PNG"
        assert "prompt" not in image.info
    facts = result.json
    assert (facts["seed"], facts["rating"], facts["host"]) == (42, "safe", host.address)
    assert facts["fallback"] is None
    assert left == {}
    [posted] = host.posted
    inputs = [value for node in posted.graph.values() for value in node["inputs"].values()]
    assert 42 in inputs
    assert any(isinstance(value, str) and "reads a book in a garden" in value for value in inputs)


async def test_without_a_seed_two_pictures_differ(tmp_path: Path) -> None:
    async with SandboxComfyUI(models=required_models()) as host:
        first, second = [
            (await draw(tmp_path / "a.png", "--json", hosts=host.address)).json for _ in range(2)
        ]

    assert first["seed"] != second["seed"]


async def test_a_banned_text_is_refused_and_reaches_no_host(tmp_path: Path) -> None:
    out = tmp_path / "no.png"
    async with SandboxComfyUI(models=required_models()) as host:
        result = await draw(
            out, "--rating", "explicit", hosts=host.address, text="a naked schoolgirl, 14 years old"
        )

    assert result.code == 1
    assert result.stderr.startswith("imagegen: it may not be drawn: ")
    assert "schoolgirl" not in result.stderr
    assert (host.posted, out.exists()) == ([], False)


@pytest.mark.parametrize(
    ("text", "why"),
    [("a 15 year old at school", "safe_only (minor_mentioned)"), (" ", "no words")],
)
async def test_words_that_were_not_drawn_are_said(tmp_path: Path, text: str, why: str) -> None:
    async with SandboxComfyUI(models=required_models()) as host:
        result = await draw(tmp_path / "a.png", "--json", hosts=host.address, text=text)

    assert result.json["fallback"] == why
    [posted] = host.posted
    assert "15 year" not in str(posted.graph)


async def test_a_file_that_cannot_be_written_is_refused_before_it_is_drawn(tmp_path: Path) -> None:
    async with SandboxComfyUI(models=required_models()) as host:
        result = await draw(tmp_path / "nowhere" / "a.png", hosts=host.address)

    assert (result.code, host.posted) == (2, [])
    assert "its directory is missing" in result.stderr


async def test_the_personas_bound_holds_whatever_is_asked_for(tmp_path: Path) -> None:
    async with SandboxComfyUI(models=required_models()) as host:
        result = await command.run(
            *("draw", "--persona", "lina", TEXT, "--out", str(tmp_path / "a.png")),
            *("--rating", "explicit", "--json"),
            COMFYUI_HOSTS=host.address,
        )

    assert result.json["rating"] == "safe"


async def test_a_host_that_is_down_is_logged_beside_the_json(tmp_path: Path) -> None:
    async with SandboxComfyUI(models=required_models()) as host:
        result = await draw(tmp_path / "a.png", "--json", hosts=f"{host.address},127.0.0.1:1")

    assert result.json["host"] == host.address
    assert "host failed" in result.stderr


async def test_without_a_host_that_is_up_it_ends_in_time_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    result = await draw(tmp_path / "a.png", "--timeout", "1", hosts="127.0.0.1:1")

    assert result.code == 1
    assert result.stderr.endswith(
        "imagegen: not drawn within 1 s: `imagegen hosts` says how the hosts are\n"
    )


@pytest.mark.parametrize(
    ("host", "code", "why"),
    [
        (
            "nowhere.invalid:1",
            2,
            "imagegen: --host: nowhere.invalid:1 does not answer /prompt: has a host name that is not known",
        ),
        ("127.0.0.1:1", 1, "imagegen: 127.0.0.1:1 does not answer /prompt: refuses the connection"),
    ],
)
async def test_a_named_host_that_does_not_answer_ends_it_at_once(
    tmp_path: Path, host: str, code: int, why: str
) -> None:
    result = await command.run(
        *(
            "draw",
            "--persona",
            "lina",
            "--out",
            str(tmp_path / "a.png"),
            "--host",
            host,
            "a garden",
        ),
        COMFYUI_HOSTS="127.0.0.1:1",
    )

    assert result.code == code
    assert result.stderr.startswith(why)
    assert len(result.stderr.splitlines()) == 1


async def test_a_drawing_that_is_too_late_is_taken_off_its_host(tmp_path: Path) -> None:
    async with (
        SandboxComfyUI(models=required_models(), seconds_per_picture=10.0) as host,
        connect_client(host.address) as client,
    ):
        result = await draw(tmp_path / "a.png", "--timeout", "2", hosts=host.address)
        queue = await client.get("/prompt")

    assert result.code == 1
    assert (len(host.posted), queue["exec_info"]["queue_remaining"]) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--persona", "nobody", "--out", "a.png", TEXT), "There is no persona"),
        (("--persona", "lina", "--out", "a.jpg", TEXT), "has to end with .png"),
    ],
)
async def test_what_is_wrong_is_said_in_one_sentence(arguments: tuple[str, ...], why: str) -> None:
    result = await command.run("draw", *arguments, COMFYUI_HOSTS="127.0.0.1:1")

    assert result.code == 2
    assert why in result.stderr
