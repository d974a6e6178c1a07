"""Graphs whose links leave a choice, and persona.toml choosing."""

from pathlib import Path
from typing import Any

import pytest

from imagegen.workflows.errors import WorkflowFault
from tests.support.workflow_exports import (
    REFINED,
    bound,
    drawn,
    fault,
    inputs,
    ksampler,
    loaded,
    node,
    plain,
)

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


@pytest.mark.parametrize(
    ("changed", "candidates", "key"),
    [
        (TWO_SAVES, '10 "Small" (SaveImage), 9 "Save" (SaveImage)', 'save = "10"'),
        (TWO_TEXTS, '26 "More" (CLIPTextEncode) input text, 27 "Words"', "text = {"),
        (JOINED, '70 "Join" (StringConcatenate) input string_a', "text = {"),
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
        (TWO_TEXTS, 'text = "More"\nkeep = "Words"', ("26", "text"), "a dog"),
        (TWO_TEXTS, 'text = "More"\nkeep = "Words"', ("27", "text"), "a cat"),
        (TWO_TEXTS, 'text = ["More", "Words"]', ("27", "text"), "a dog"),
        (TWO_TEXTS, 'keep = "Words"', ("26", "text"), "a dog"),
        (
            JOINED,
            'text = { node = "70", input = "string_b" }\nkeep = "70"',
            ("70", "string_b"),
            "a dog",
        ),
        (JOINED, 'keep = { node = "70", input = "string_a" }', ("70", "string_b"), "a dog"),
        (TWO_SIZES, 'size = "Tall"', ("14", "width"), 960),
        (TWO_SIZES, 'size = ["Tall", "Size"]', ("13", "width"), 960),
        (REFINED, 'seed = "60"\nkeep = "61"', ("60", "seed"), 7),
        (REFINED, 'seed = ["3", "60"]\nkeep = "61"', ("3", "seed"), 7),
        (REFINED, 'text = ["61", "27"]', ("61", "text"), "a dog"),
    ],
)
def test_persona_toml_chooses(
    tmp_path: Path, changed: dict[str, Any], choice: str, place: tuple[str, str], value: object
) -> None:
    asked = {"width": 960} if "size" in choice else {}

    graph = bound(tmp_path, plain(**changed), more=f"[nodes]\n{choice}", **asked)

    assert inputs(graph, place[0])[place[1]] == value


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        ('save = "Nowhere"', "nodes.save = 'Nowhere': no node of workflow.json has this id"),
        ('save = "28"', "node 28 (UNETLoader), input images: no picture is linked into it"),
        ('sampler = "30"', "node 30 (CLIPLoader): leads to no text"),
        ('size = "27"', 'node 27 "Words" (CLIPTextEncode): nodes.size: has no width and height'),
        ('text = { node = "27", input = "clip" }', "input clip: nodes.text: is not a text"),
        ('text = { node = "30", input = "clip_name" }', "clip_name: nodes.text: is not a text"),
        ('text = { node = "30", input = "type" }', "input type: nodes.text: is not a text"),
        ('text = { node = "13", input = "width" }', "input width: nodes.text: is not a text"),
        ('text = "77"', "node 77 (Note): nodes.text: does not lead to the save node"),
        ('text = { node = "27", input = "words" }', "the node's inputs are: clip, text"),
        ('seed = "8"', "node 8 (VAEDecode): nodes.seed: the node's inputs are: samples, vae"),
    ],
)
def test_a_wrong_choice_is_named(tmp_path: Path, choice: str, why: str) -> None:
    graph = plain(**{"77": node("Note", text="nothing")})

    broken = fault(tmp_path, graph, more=f"[nodes]\n{choice}")

    assert why in str(broken)


def test_a_size_that_is_not_clear_is_named_only_where_it_is_asked_for(tmp_path: Path) -> None:
    workflow = loaded(tmp_path, plain(**TWO_SIZES))

    graph = drawn(workflow)

    assert (graph.width, inputs(graph, "13")["width"], inputs(graph, "14")["width"]) == (
        None,
        1024,
        832,
    )
    with pytest.raises(WorkflowFault, match="name its node as size under"):
        drawn(workflow, width=960)
