"""Values that a host does not have in its lists."""

from typing import Any

import pytest

from imagegen.comfy.error_messages import read_refusal


@pytest.mark.parametrize(
    ("kind", "name", "got", "config", "code"),
    [
        ("KSamplerSelect", "sampler_name", "nope", ["COMBO", {"options": []}], "prompt_refused"),
        ("KSampler", "scheduler", "nope", [["simple"], {}], "prompt_refused"),
        ("UNETLoader", "weight_dtype", "fp4", [["default"], {}], "prompt_refused"),
        (
            "UpscaleModelLoader",
            "model_name",
            "4x.PTH",
            ["COMBO", {"options": []}],
            "model_missing",
        ),
        ("VAELoader", "vae_name", "taesdx", [["ae.safetensors"], {}], "model_missing"),
        ("DualCLIPLoader", "clip_name2", "t5", None, "model_missing"),
        ("Stack", "first", "none", [["None", "a.safetensors"]], "model_missing"),
        ("LoraLoader", "lora_name", "style/x/y.safetensors", None, "model_missing"),
    ],
)
def test_a_missing_file_is_told_from_an_unknown_value(
    kind: str, name: str, got: str, config: Any, code: str
) -> None:
    fault = _fault(input_name=name, input_config=config, received_value=got)
    body = {"node_errors": {"3": {"errors": [fault], "class_type": kind}}}

    error = read_refusal("gpu-1", {"3": {"class_type": kind}}, body)

    assert error.code == code
    assert got in error.sentence


def test_options_of_a_new_list_are_told() -> None:
    config = ["COMBO", {"options": ["euler", "heun"]}]
    fault = _fault(input_name="sampler_name", input_config=config, received_value="chess")

    error = read_refusal("gpu-1", {}, {"node_errors": {"3": {"errors": [fault]}}})

    assert error.sentence.endswith("sampler_name = 'chess', may be euler, heun")


def _fault(**facts: Any) -> dict[str, Any]:
    return {"type": "value_not_in_list", "message": "Value not in list", "extra_info": facts}
