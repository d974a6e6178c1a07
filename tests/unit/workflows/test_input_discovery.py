"""Finding the inputs of graphs as other people export them."""

import json
from pathlib import Path
from typing import Any

import pytest

from imagegen.workflows.errors import WorkflowFault
from tests.support.workflow_exports import (
    ADVANCED,
    BASIC,
    BLANK,
    REFINED,
    bound,
    drawn,
    inputs,
    ksampler,
    loaded,
    lora,
    node,
    plain,
)


@pytest.mark.parametrize("blank", ["1", "99"])
def test_the_negative_text_stays_empty_in_either_order(tmp_path: Path, blank: str) -> None:
    graph = bound(tmp_path, plain(**{blank: BLANK, "3": ksampler(negative=[blank, 0])}))

    assert (inputs(graph, "27")["text"], inputs(graph, blank)["text"]) == ("a dog", "")


def test_an_empty_positive_text_is_filled(tmp_path: Path) -> None:
    negative = node("CLIPTextEncode", text="blurry", clip=["30", 0])

    graph = bound(tmp_path, plain(**{"27": BLANK, "33": negative}))

    assert (inputs(graph, "27")["text"], inputs(graph, "33")["text"]) == ("a dog", "blurry")


def test_ids_of_subgraphs_are_ids(tmp_path: Path) -> None:
    renamed = json.loads(json.dumps(plain()).replace('"27"', '"57:27"').replace('"3"', '"57:12:3"'))

    graph = bound(tmp_path, renamed)

    assert inputs(graph, "57:27")["text"] == "a dog"
    assert inputs(graph, "57:12:3")["seed"] == 7


def test_a_lora_on_model_and_clip_is_on_the_way(tmp_path: Path) -> None:
    both = node(
        "LoraLoader",
        model=["28", 0],
        clip=["30", 0],
        lora_name="lina.safetensors",
        strength_model=0.8,
        strength_clip=1,
    )
    words = node("CLIPTextEncode", text="", clip=["40", 1])

    graph = bound(tmp_path, plain(**{"40": both, "27": words}))

    assert inputs(graph, "27")["text"] == "a dog"
    assert inputs(graph, "40")["strength_clip"] == 1


def test_several_loras_in_a_row_are_all_kept(tmp_path: Path) -> None:
    stacked = {"41": lora("film.safetensors", 0.3, "40"), "42": lora("light.safetensors", 1, "41")}
    shifted = node("ModelSamplingAuraFlow", shift=3, model=["42", 0])

    graph = bound(tmp_path, plain(**stacked, **{"11": shifted}))

    assert {"40", "41", "42"} <= set(graph.graph)


def test_a_basic_guider_leads_to_the_words(tmp_path: Path) -> None:
    graph = bound(tmp_path, plain(**ADVANCED, **{"51": BASIC}))

    assert inputs(graph, "27")["text"] == "a dog"
    assert inputs(graph, "50")["noise_seed"] == 7
    assert "33" not in graph.graph


def test_a_cfg_guider_leads_to_its_positive_words(tmp_path: Path) -> None:
    guider = node("CFGGuider", model=["11", 0], negative=["70", 0], positive=["27", 0], cfg=1)

    graph = bound(tmp_path, plain(**ADVANCED, **{"51": guider, "70": BLANK}))

    assert (inputs(graph, "27")["text"], inputs(graph, "70")["text"]) == ("a dog", "")


def test_an_advanced_sampler_takes_its_noise_seed(tmp_path: Path) -> None:
    sampler = ksampler(noise_seed=0, add_noise="enable")
    del sampler["inputs"]["seed"]

    graph = bound(tmp_path, plain(**{"3": {**sampler, "class_type": "KSamplerAdvanced"}}))

    assert inputs(graph, "3")["noise_seed"] == 7


def test_unknown_nodes_on_the_way_pass_links_through(tmp_path: Path) -> None:
    passing = {
        "80": node("Any Switch (rgthree)", any_01=["27", 0]),
        "81": node("Reroute (pack)", anything=["13", 0]),
        "82": node("ImpactSwitch", select=1, input1=["8", 0]),
        "3": ksampler(positive=["80", 0], latent_image=["81", 0]),
        "9": node("SaveImage", images=["82", 0], filename_prefix=""),
    }

    graph = bound(tmp_path, plain(**passing), width=832)

    assert (inputs(graph, "27")["text"], inputs(graph, "13")["width"]) == ("a dog", 832)


@pytest.mark.parametrize(
    "switch",
    [
        node("ComfySwitchNode", switch=False, on_true=["70", 0], on_false=["27", 0]),
        node("ImpactSwitch", select=2, input1=["70", 0], input2=["27", 0]),
    ],
)
def test_a_switch_leads_where_it_is_set(tmp_path: Path, switch: dict[str, Any]) -> None:
    other = node("CLIPTextEncode", text="unused", clip=["30", 0])

    graph = bound(tmp_path, plain(**{"70": other, "80": switch, "3": ksampler(positive=["80", 0])}))

    assert (inputs(graph, "27")["text"], inputs(graph, "70")["text"]) == ("a dog", "unused")


def test_a_control_net_that_carries_both_branches_leads_to_the_positive(tmp_path: Path) -> None:
    control = node("ControlNetApplyAdvanced", positive=["27", 0], negative=["70", 0], strength=1)
    sampler = ksampler(positive=["80", 0], negative=["80", 1])

    graph = bound(tmp_path, plain(**{"70": BLANK, "80": control, "3": sampler}))

    assert (inputs(graph, "27")["text"], inputs(graph, "70")["text"]) == ("a dog", "")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (node("PrimitiveStringMultiline", value="a cat"), "value"),
        (node("String Literal", string="a cat"), "string"),
        (node("CR Prompt", mode="plain", prompt="a cat"), "prompt"),
        (node("Words of a pack", sentence="a cat"), "sentence"),
    ],
)
def test_words_are_put_where_they_come_from(
    tmp_path: Path, source: dict[str, Any], name: str
) -> None:
    words = node("CLIPTextEncode", text=["70", 0], clip=["30", 0])

    graph = bound(tmp_path, plain(**{"70": source, "27": words}))

    assert inputs(graph, "70")[name] == "a dog"
    assert inputs(graph, "27")["text"] == ["70", 0]


def test_words_from_a_node_that_holds_none_are_replaced(tmp_path: Path) -> None:
    words = node("CLIPTextEncode", text=["70", 0], clip=["30", 0])

    graph = bound(tmp_path, plain(**{"70": node("Describe", temperature=1), "27": words}))

    assert inputs(graph, "27")["text"] == "a dog"


def test_a_size_is_put_where_it_comes_from(tmp_path: Path) -> None:
    linked = {
        "70": node("PrimitiveInt", value=1024),
        "71": node("INTConstant", value=768),
        "13": node("EmptySD3LatentImage", width=["70", 0], height=["71", 0], batch_size=1),
    }

    graph = bound(tmp_path, plain(**linked), width=832, height=1216)

    assert (inputs(graph, "70")["value"], inputs(graph, "71")["value"]) == (832, 1216)


def test_one_number_for_both_sides_draws_squares_only(tmp_path: Path) -> None:
    linked = {
        "70": node("PrimitiveInt", value=1024),
        "13": node("EmptySD3LatentImage", width=["70", 0], height=["70", 0], batch_size=1),
    }
    workflow = loaded(tmp_path, plain(**linked))

    square = drawn(workflow, width=896, height=896)

    assert inputs(square, "70")["value"] == 896
    with pytest.raises(WorkflowFault, match="draws squares only"):
        drawn(workflow, width=832, height=1216)


def test_a_seed_is_put_where_it_comes_from(tmp_path: Path) -> None:
    dice = node("Seed (rgthree)", seed=-1)

    graph = bound(tmp_path, plain(**{"70": dice, "3": ksampler(seed=["70", 0])}))

    assert inputs(graph, "70")["seed"] == 7


def test_a_seed_from_a_node_without_a_number_is_replaced(tmp_path: Path) -> None:
    graph = bound(tmp_path, plain(**{"70": node("Dice"), "3": ksampler(seed=["70", 0])}))

    assert inputs(graph, "3")["seed"] == 7


def test_a_preview_beside_the_save_node_is_ignored(tmp_path: Path) -> None:
    graph = bound(tmp_path, plain(**{"1": node("PreviewImage", images=["8", 0])}))

    assert graph.output_node == "9"
    assert "1" not in graph.graph


def test_a_save_node_that_no_sampler_feeds_is_ignored(tmp_path: Path) -> None:
    aside = {
        "1": node("LoadImage", image="reference.png"),
        "2": node("SaveImage", images=["1", 0], filename_prefix="reference"),
    }

    graph = bound(tmp_path, plain(**aside))

    assert graph.output_node == "9"
    assert not {"1", "2"} & set(graph.graph)


def test_an_upscaler_after_the_decode_is_on_the_way(tmp_path: Path) -> None:
    scaled = {
        "50": node("UpscaleModelLoader", model_name="4x.pth"),
        "51": node("ImageUpscaleWithModel", upscale_model=["50", 0], image=["8", 0]),
        "52": node("ImageScale", image=["51", 0], width=2048, height=1536, crop="disabled"),
        "9": node("SaveImage", images=["52", 0], filename_prefix=""),
    }

    graph = bound(tmp_path, plain(**scaled), width=832)

    assert (inputs(graph, "13")["width"], inputs(graph, "52")["width"]) == (832, 2048)


def test_a_refiner_takes_the_seed_and_keeps_its_own_words_where_the_artist_says_so(
    tmp_path: Path,
) -> None:
    graph = bound(tmp_path, plain(**REFINED), more='[nodes]\nkeep = ["61"]')

    assert (inputs(graph, "27")["text"], inputs(graph, "61")["text"]) == ("a dog", "fine detail")
    assert (inputs(graph, "3")["seed"], inputs(graph, "60")["seed"]) == (7, 7)


def test_the_size_is_the_first_samplers(tmp_path: Path) -> None:
    enlarged = node("LatentUpscale", samples=["3", 0], width=1536, height=1152, crop="disabled")
    second = ksampler(latent_image=["62", 0], positive=["27", 0])

    graph = bound(tmp_path, plain(**{**REFINED, "60": second, "62": enlarged}), width=832)

    assert (inputs(graph, "13")["width"], inputs(graph, "62")["width"]) == (832, 1536)
