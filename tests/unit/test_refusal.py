"""Refusals of real servers, as sentences."""

from typing import Any

import pytest

from imagegen.comfy import refusal
from imagegen.comfy.errors import PromptRefused
from tests.comfyui_recording import RECORDINGS, read_recording

VERSIONS = ("0.33", "0.3.64")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("empty prompt", "Prompt has no outputs"),
        ("missing required input (value)", "EmptyImage: width: required input is missing"),
        ("int above max", "EmptyImage: width = 99999999: value 99999999 bigger than max of 16384"),
        ("int below min", "EmptyImage: width = 0: value 0 smaller than min of 1"),
        (
            "int not convertible",
            "EmptyImage: width = 'abc': failed to convert an input value to a int value",
        ),
        (
            "wrong link type (MODEL into IMAGE)",
            "SaveImage: images: return type mismatch between linked nodes (images, received_type(MODEL) mismatch input_type(IMAGE))",
        ),
        ("link to a missing node", "SaveImage: Exception when validating node ('77')"),
        ("unknown sampler", "KSampler: sampler_name = 'nope' is not in the host's list"),
        (
            "LoadImage of a missing file",
            "LoadImage: image: custom validation failed for node (image - Invalid image file: gone.png)",
        ),
    ],
)
def test_a_refusal_names_node_and_input_and_what_is_wrong(
    version: str, case: str, reason: str
) -> None:
    error = _refused(version, case)

    assert error.sentence == f"gpu-1 refuses the graph: {reason}"
    assert error.code == "prompt_refused"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("missing unet file", "UNETLoader: unet_name names gone.safetensors"),
        ("missing lora", "LoraLoaderModelOnly: lora_name names gone.safetensors"),
        (
            "checkpoint loader with no checkpoints installed",
            "CheckpointLoaderSimple: ckpt_name names x.safetensors",
        ),
    ],
)
def test_a_file_that_the_host_has_not_is_a_missing_model(
    version: str, case: str, reason: str
) -> None:
    error = _refused(version, case)

    assert error.sentence == f"gpu-1 refuses the graph: {reason}, which this host does not have"
    assert error.code == "model_missing"


@pytest.mark.parametrize("version", VERSIONS)
def test_all_missing_files_are_named_at_once(version: str) -> None:
    error = _refused(version, "missing unet+vae+clip files")

    assert error.sentence.count("which this host does not have") == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_a_node_class_that_the_host_has_not_is_a_missing_node(version: str) -> None:
    error = _refused(version, "unknown class_type")

    assert error.code == "node_missing"
    assert "NoSuchNode" in error.sentence
    assert error.sentence.endswith("(Node ID '#1')")


def test_a_value_outside_a_short_list_is_told_with_the_list() -> None:
    fault = _not_in_list("chess", ["euler", "heun"])

    error = refusal.read("gpu-1", {"3": {"_meta": {"title": "Draw"}}}, {"node_errors": fault})

    assert error.sentence.endswith("Draw: sampler_name = 'chess', may be euler, heun")


def test_of_a_long_list_the_beginning_is_told() -> None:
    fault = _not_in_list("chess", [f"s{number}" for number in range(50)])

    error = refusal.read("gpu-1", {}, {"node_errors": fault})

    assert error.sentence.endswith("3: sampler_name = 'chess', may be s0, s1, s2, s3, s4, …")


def test_a_long_text_is_not_repeated() -> None:
    fault = _not_in_list("what somebody wrote " * 10, ["euler"])

    error = refusal.read("gpu-1", {}, {"node_errors": fault})

    assert "somebody" not in error.sentence
    assert "a value of 202 characters" in error.sentence


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"error": None},
        {"error": "unauthorized"},
        {"error": {}, "node_errors": []},
        {"error": [], "node_errors": {"1": None}},
        {"node_errors": {"1": {"errors": None}}},
        {"node_errors": {"1": {"errors": ["bad"]}}},
        {"node_errors": {"1": {"errors": [{"extra_info": 7}]}}},
    ],
)
def test_a_refusal_in_a_foreign_form_is_still_a_refusal(body: dict[str, Any]) -> None:
    error = refusal.read("gpu-1", {}, body)

    assert error.code == "prompt_refused"
    assert error.sentence.endswith("it does not say why")


def _not_in_list(got: str, allowed: list[str]) -> dict[str, Any]:
    extra = {"input_name": "sampler_name", "input_config": [allowed, {}], "received_value": got}
    return {"3": {"errors": [{"type": "value_not_in_list", "extra_info": extra}]}}


def _refused(version: str, case: str) -> PromptRefused:
    """Give the refusal of a recorded POST, which follows the note of its case."""
    note = ""
    for line in read_recording(RECORDINGS / version / "s08_invalid.jsonl"):
        if line.direction == "note":
            note = line.data
        elif line.direction == "http" and note == case:
            return refusal.read("gpu-1", line.data["request"]["prompt"], line.data["response"])
    raise AssertionError(case)
