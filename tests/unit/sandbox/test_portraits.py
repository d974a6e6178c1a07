"""The sandbox's stand-in pictures show what the words of a prompt say, as far as simple shapes can."""

import tomllib
from pathlib import Path

import pytest
from PIL import ImageChops

from imagegen.sandbox.comfyui.execution.backdrop import Place, place_of
from imagegen.sandbox.comfyui.execution.drawing import paint_portrait
from imagegen.sandbox.comfyui.execution.node_context import PaintedScene
from imagegen.sandbox.comfyui.execution.portrait_look import Cut, portrait_look

WORKFLOWS = Path(__file__).parents[3] / "workflows"
PERSONAS = sorted(path.parent.name for path in WORKFLOWS.glob("*/persona.toml"))


def appearance(persona: str) -> str:
    return str(
        tomllib.loads((WORKFLOWS / persona / "persona.toml").read_text("utf-8"))["appearance"]
    )


@pytest.mark.parametrize(
    ("persona", "brightness_of_hair", "cut"),
    [
        ("ash", "middle", Cut.SHORT),
        ("julie", "middle", Cut.BOB),
        ("lina", "dark", Cut.LONG),
        ("marriana", "dark", Cut.PONYTAIL),
        ("may", "dark", Cut.BOB),
        ("stacy", "light", Cut.PONYTAIL),
        ("taya", "dark", Cut.SHORT),
        ("una", "light", Cut.BOB),
    ],
)
def test_a_shipped_persona_has_the_hair_that_is_described(
    persona: str, brightness_of_hair: str, cut: Cut
) -> None:
    look = portrait_look(persona, appearance(persona))

    brightness = sum(look.hair) // 3
    assert (
        "dark" if brightness < 60 else "middle" if brightness < 140 else "light"
    ) == brightness_of_hair
    assert look.cut is cut


def test_skin_stubble_and_glasses_are_as_described() -> None:
    looks = {name: portrait_look(name, appearance(name)) for name in PERSONAS}

    by_skin = sorted(PERSONAS, key=lambda name: sum(looks[name].skin))
    assert (by_skin[0], by_skin[-1]) == ("taya", "una")
    assert [name for name in PERSONAS if looks[name].has_beard] == ["ash"]
    assert [name for name in PERSONAS if looks[name].has_glasses] == ["julie"]


def test_of_whom_nothing_is_said_the_name_decides() -> None:
    assert portrait_look("ada", "a portrait") == portrait_look("ada", "a picture")
    assert portrait_look("ada", "a portrait") != portrait_look("kim", "a portrait")


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("at a white table in a quiet design studio", Place.ROOM),
        ("in a seaside cottage at a window with a wide sill", Place.ROOM),
        ("on a harbour wall with fishing boats behind", Place.SEA),
        ("walking through the autumn park", Place.TREES),
        ("on a hillside trail above a valley", Place.HILLS),
        ("on a busy crossing with neon signs", Place.CITY),
        ("a portrait with soft window light and a shallow depth of field", Place.STUDIO),
        ("a street photograph on colour film, in an evening dress", Place.STUDIO),
    ],
)
def test_the_place_is_the_one_that_most_words_name(words: str, place: Place) -> None:
    assert place_of(words) is place


def test_each_place_by_day_and_by_night_is_another_picture() -> None:
    prompts = [
        f"at the {place}{at}"
        for place in ("sea", "park", "café", "meadow", "street", "rest")
        for at in ("", " at night")
    ]
    drawn = [
        paint_portrait(PaintedScene(persona="Lina", seed=1, text=text), (104, 152))
        for text in prompts
    ]

    same = [
        (prompts[one], prompts[other])
        for one in range(len(drawn))
        for other in range(one)
        if ImageChops.difference(drawn[one], drawn[other]).getbbox() is None
    ]
    assert same == []
