"""Refusals of real servers, as sentences."""

from typing import Any

import pytest

from imagegen.comfy.error_messages import read_refusal
from imagegen.comfy.errors import HostLacks, PromptRefused
from tests.support.comfyui_recording import RECORDINGS, Line, read_recording

VERSIONS = ("0.33", "0.3.64")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("no prompt key", "No prompt provided"),
        ("empty prompt", "Prompt has no outputs"),
        ("no output node", "Prompt has no outputs"),
        ("node without inputs", "SaveImage: Exception when validating node (KeyError: 'inputs')"),
        ("missing required input (value)", "EmptyImage: width: Required input is missing"),
        ("missing required input (link)", "SaveImage: images: Required input is missing"),
        ("int above max", "EmptyImage: width = 99999999, may be 1 to 16384"),
        ("int below min", "EmptyImage: width = 0, may be 1 to 16384"),
        (
            "int not convertible",
            "EmptyImage: width = 'abc': Failed to convert an input value to a INT value",
        ),
        (
            "malformed link",
            "SaveImage: images = ['1']: Bad linked input, must be a length-2 list of [node_id, slot_index]",
        ),
        (
            "wrong link type (MODEL into IMAGE)",
            "SaveImage: images takes IMAGE, and UNETLoader gives MODEL",
        ),
        ("link to a missing node", "SaveImage: Exception when validating node (KeyError: '77')"),
        (
            "link to a missing output slot",
            "SaveImage: Exception when validating node (IndexError: tuple index out of range)",
        ),
        ("unknown sampler", "KSampler: sampler_name = 'nope', which is not in the host's list"),
        # A 200, whose good output would be drawn.
        (
            "TWO outputs, one valid and one invalid",
            "SaveImage: Exception when validating node (KeyError: '77')",
        ),
    ],
)
def test_a_refusal_names_node_and_input_and_what_is_wrong(
    version: str, case: str, reason: str
) -> None:
    error = _refused(version, case)

    assert error.sentence == f"gpu-1 refuses the graph: {reason}"
    assert (type(error), error.code) == (PromptRefused, "prompt_refused")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("missing unet file", "UNETLoader: unet_name names gone.safetensors"),
        ("missing lora", "LoraLoaderModelOnly: lora_name names gone.safetensors"),
        ("LoadImage of a missing file", "LoadImage: image names gone.png"),
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
    assert (type(error), error.code) == (HostLacks, "model_missing")


@pytest.mark.parametrize("version", VERSIONS)
def test_all_missing_files_are_named_at_once(version: str) -> None:
    error = _refused(version, "missing unet+vae+clip files")

    assert error.sentence.count("which this host does not have") == 3
    assert error.code == "model_missing"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", ["unknown class_type", "extra unlinked node of unknown class"])
def test_a_node_class_that_the_host_has_not_is_a_missing_node(version: str, case: str) -> None:
    error = _refused(version, case)

    assert (type(error), error.code) == (HostLacks, "node_missing")
    assert error.sentence == "gpu-1 refuses the graph: NoSuchNode: this host has no node NoSuchNode"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", ["missing class_type", "extra unlinked node without class_type"])
def test_a_node_without_a_class_is_wrong_on_every_host(version: str, case: str) -> None:
    error = _refused(version, case)

    assert error.code == "prompt_refused"
    assert "class_type" in error.sentence


@pytest.mark.parametrize("version", VERSIONS)
def test_no_recorded_refusal_tells_of_the_hosts_disk_or_is_long(version: str) -> None:
    sentences = [error.sentence for error in _all_refused(version)]

    assert len(sentences) == 31
    assert not [each for each in sentences if "/comfyui" in each or ".py" in each]
    assert max(map(len, sentences)) < 300


@pytest.mark.parametrize("version", ["0.33"])
def test_a_prompt_id_of_the_wrong_form_is_told(version: str) -> None:
    lines = read_recording(RECORDINGS / version / "s06_prompt_ids.jsonl")
    told = next(
        line.data["response"]
        for line in lines
        if line.kind == "POST /prompt" and line.data["status"] == 400
    )

    error = read_refusal("gpu-1", {}, told)

    assert error.code == "prompt_refused"
    assert "prompt_id must be a valid UUID" in error.sentence


def test_a_missing_file_beside_another_fault_is_wrong_on_every_host() -> None:
    faults = _not_in_list("gone.safetensors", ["a.safetensors"])
    faults["4"] = _not_in_list("chess", ["euler"])["3"]

    error = read_refusal("gpu-1", {}, {"node_errors": faults})

    assert type(error) is PromptRefused


def test_of_many_faults_five_are_told() -> None:
    faults = {str(number): _not_in_list(f"s{number}", ["euler"])["3"] for number in range(9)}

    error = read_refusal("gpu-1", {}, {"node_errors": faults})

    assert error.sentence.count("may be") == 5
    assert error.sentence.endswith("; and 4 more")


def test_a_value_outside_a_short_list_is_told_with_the_list() -> None:
    fault = _not_in_list("chess", ["euler", "heun"])

    error = read_refusal("gpu-1", {"3": {"_meta": {"title": "Draw"}}}, {"node_errors": fault})

    assert error.sentence.endswith("Draw: sampler_name = 'chess', may be euler, heun")


def test_of_a_long_list_the_beginning_is_told() -> None:
    fault = _not_in_list("chess", [f"s{number}" for number in range(50)])

    error = read_refusal("gpu-1", {}, {"node_errors": fault})

    assert error.sentence.endswith("3: sampler_name = 'chess', may be s0, s1, s2, s3, s4, …")


def test_what_people_wrote_and_the_hosts_paths_are_not_repeated() -> None:
    text = "Maria waits on a balcony above the sea"
    graph = {"3": {"class_type": "Wildcards", "inputs": {"text": text}}}
    fault = {
        "type": "exception_during_inner_validation",
        "message": "Exception when validating inner node",
        "details": f"/home/joe/comfy/nodes.py: no wildcard in {text!r}",
        "extra_info": {"input_name": "text", "received_value": text},
    }

    error = read_refusal("gpu-1", graph, {"node_errors": {"3": {"errors": [fault]}}})

    assert error.sentence == (
        "gpu-1 refuses the graph: Wildcards: text = '…': Exception when validating inner node"
    )


def test_an_unknown_class_is_named_by_its_title() -> None:
    graph = {"7": {"class_type": "FaceFix", "_meta": {"title": "Mend"}}}
    body = {"error": {"type": "invalid_prompt", "details": "Node ID '#7'"}, "node_errors": {}}

    error = read_refusal("gpu-1", graph, body)

    assert error.sentence.endswith("Mend (FaceFix): this host has no node FaceFix")


def _fault(**facts: Any) -> dict[str, Any]:
    return {"type": "value_not_in_list", "message": "Value not in list", "extra_info": facts}


def _not_in_list(got: str, allowed: list[str]) -> dict[str, Any]:
    extra = {"input_name": "sampler_name", "input_config": [allowed, {}], "received_value": got}
    return {"3": {"errors": [{"type": "value_not_in_list", "extra_info": extra}]}}


def _refused(version: str, case: str) -> HostLacks | PromptRefused:
    """Give the refusal of a recorded POST, which follows the note of its case."""
    note = ""
    for line in read_recording(RECORDINGS / version / "s08_invalid.jsonl"):
        if line.direction == "note":
            note = line.data
        elif line.direction == "http" and note == case:
            return _read(line)
    raise AssertionError(case)


def _all_refused(version: str) -> list[HostLacks | PromptRefused]:
    lines = read_recording(RECORDINGS / version / "s08_invalid.jsonl")
    posts = [line for line in lines if line.kind == "POST /prompt"]
    return [_read(line) for line in posts if _is_refused(line)]


def _is_refused(line: Line) -> bool:
    return line.data["status"] != 200 or bool(line.data["response"]["node_errors"])


def _read(line: Line) -> HostLacks | PromptRefused:
    request = line.data["request"]
    graph = request.get("prompt") if isinstance(request, dict) else None
    return read_refusal("gpu-1", graph if isinstance(graph, dict) else {}, line.data["response"])
