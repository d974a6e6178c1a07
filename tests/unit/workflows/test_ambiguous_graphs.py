"""Graphs whose links leave a choice, and persona.toml choosing."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.workflow_exports import REFINED, bound, fault, inputs, ksampler, node, plain

TWO_SAVES = {"10": node("SaveImage", "Small", images=["8", 0], filename_prefix="small")}
TWO_TEXTS = {
    "26": node("CLIPTextEncode", "More", text="a hat", clip=["30", 0]),
    "34": node("ConditioningCombine", conditioning_1=["27", 0], conditioning_2=["26", 0]),
    "3": ksampler(positive=["34", 0]),
}
JOINED = {
    "70": node("StringConcatenate", "Join", string_a="masterwork", string_b="a cat", delimiter=","),
    "27": node("CLIPTextEncode", "Words", text=["70", 0], clip=["30", 0]),
}
TWO_SIZES = {
    "14": node("EmptySD3LatentImage", "Tall", width=832, height=1216, batch_size=1),
    "35": node("LatentSwitch", first=["13", 0], second=["14", 0]),
    "3": ksampler(latent_image=["35", 0]),
}
TWO_SAMPLERS = {
    "4": ksampler(),
    "18": node("VAEDecode", samples=["4", 0], vae=["29", 0]),
    "19": node("ImageBatch", image1=["8", 0], image2=["18", 0]),
    "9": node("SaveImage", images=["19", 0], filename_prefix=""),
}


@pytest.mark.parametrize(
    ("changed", "candidates", "key"),
    [
        (TWO_SAVES, '10 "Small" (SaveImage), 9 "Save" (SaveImage)', 'save = "…"'),
        (TWO_TEXTS, '26 "More" (CLIPTextEncode) input text, 27 "Words"', "text = {"),
        (JOINED, '70 "Join" (StringConcatenate) input delimiter', "text = {"),
        (TWO_SIZES, '13 "Size" (EmptySD3LatentImage), 14 "Tall"', 'size = "…"'),
        (TWO_SAMPLERS, '3 "Draw" (KSampler), 4 "Draw" (KSampler)', 'sampler = "…"'),
    ],
)
def test_two_real_candidates_are_named_with_the_key_that_chooses(
    tmp_path: Path, changed: dict[str, Any], candidates: str, key: str
) -> None:
    broken = fault(tmp_path, plain(**changed))

    assert "more than one" in broken.why
    assert candidates in broken.why
    assert key in broken.why


@pytest.mark.parametrize(
    ("changed", "choice", "place", "value"),
    [
        (TWO_SAVES, 'save = "Small"', ("10", "filename_prefix"), "p/1"),
        (TWO_TEXTS, 'text = "More"', ("26", "text"), "a dog"),
        (JOINED, 'text = { node = "70", input = "string_b" }', ("70", "string_b"), "a dog"),
        (TWO_SIZES, 'size = "Tall"', ("14", "width"), 960),
        (TWO_SAMPLERS, 'sampler = "4"', ("4", "seed"), 7),
        (REFINED, 'seed = "60"', ("60", "seed"), 7),
        (REFINED, 'text = "61"', ("61", "text"), "a dog"),
    ],
)
def test_persona_toml_chooses(
    tmp_path: Path, changed: dict[str, Any], choice: str, place: tuple[str, str], value: object
) -> None:
    graph = bound(tmp_path, plain(**changed), more=f"[nodes]\n{choice}", width=960)

    assert inputs(graph, place[0])[place[1]] == value


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        ('save = "Nowhere"', "nodes.save = 'Nowhere': no node of workflow.json has this id"),
        ('save = "28"', "node 28 (UNETLoader), input images: no picture is linked into it"),
        ('sampler = "33"', "node 33 (ConditioningZeroOut), input latent_image: no size"),
        ('size = "27"', 'node 27 "Words" (CLIPTextEncode), input width: is None'),
        ('text = "77"', "node 77 (Note): nodes.text: does not lead to the save node"),
        ('text = { node = "27", input = "words" }', "the node's inputs are: clip, text"),
        ('seed = "8"', "node 8 (VAEDecode): nodes.seed: the node's inputs are: samples, vae"),
    ],
)
def test_a_wrong_choice_is_named(tmp_path: Path, choice: str, why: str) -> None:
    graph = plain(**{"77": node("Note", text="nothing")})

    broken = fault(tmp_path, graph, more=f"[nodes]\n{choice}")

    assert why in str(broken)


def test_a_width_that_cannot_be_traced_is_set_in_persona_toml(tmp_path: Path) -> None:
    measured = {
        "70": node("Measure", image="a.png"),
        "13": node("EmptySD3LatentImage", width=["70", 0], height=768, batch_size=1),
    }

    broken = fault(tmp_path / "a", plain(**measured))
    graph = bound(tmp_path / "b", plain(**measured), more='[inputs]\n"13".width = 1024')

    assert 'set "13".width = 1024 under [inputs] in persona.toml' in broken.why
    assert inputs(graph, "13")["width"] == 1024
