"""The eight personas that come with the project."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imagegen.prompts.builder import write_own_prompt
from imagegen.workflows.screening import screened_workflows
from tests.support.workflow_exports import drawn

ROOT = Path(__file__).parents[3]
NAMES = ["ash", "julie", "lina", "marriana", "may", "stacy", "taya", "una"]
VERSIONS = ["0.3.64", "0.33"]
LIBRARY = screened_workflows(ROOT / "workflows")
# These lists are of the files on the recorded host, not of what the node can take.
FILES = {"unet_name", "clip_name", "vae_name", "lora_name"}


def test_all_eight_load() -> None:
    assert sorted(LIBRARY.workflows) == NAMES
    assert not LIBRARY.faults


def test_no_two_are_alike() -> None:
    shipped = LIBRARY.workflows.values()

    assert len({workflow.requirements.model_set for workflow in shipped}) == 8
    assert len({write_own_prompt(workflow.persona, "hello") for workflow in shipped}) == 8
    assert len({_loras(name)[0] for name in NAMES}) == 8
    assert len({drawn(workflow).cache_key for workflow in shipped}) == 8


def test_each_has_several_captions_in_both_languages_and_shares_none_with_another() -> None:
    personas = [workflow.persona for workflow in LIBRARY.workflows.values()]

    for language in ("ru", "en"):
        lists = [each.captions.of_language(language) for each in personas]
        assert all(len(each) >= 3 for each in lists)
        said = [caption for each in lists for caption in each]
        assert len(set(said)) == len(said)


def test_a_bf16_file_is_cast_to_fp8_when_it_is_loaded() -> None:
    casts = {
        node.inputs["weight_dtype"]
        for workflow in LIBRARY.workflows.values()
        for node in workflow.graph.nodes.values()
        if "bf16" in str(node.inputs.get("unet_name"))
    }

    assert casts == {"fp8_e4m3fn"}


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_fictional_adult_of_about_one_megapixel(name: str) -> None:
    workflow = LIBRARY.find(name)

    assert f"a fictional adult aged {workflow.persona.age}." in write_own_prompt(
        workflow.persona, "hello"
    )
    assert workflow.width is not None
    assert workflow.height is not None
    assert 0.9e6 < workflow.width * workflow.height < 1.1e6


@pytest.mark.parametrize("name", NAMES)
def test_each_draws_as_the_model_wants_it(name: str) -> None:
    nodes = LIBRARY.find(name).graph.nodes.values()

    assert {node.inputs["steps"] for node in nodes if "steps" in node.inputs} <= {8, 9, 10}
    assert {node.inputs["cfg"] for node in nodes if "cfg" in node.inputs} <= {1}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_each_export_is_what_real_servers_accept(name: str, version: str) -> None:
    exported = json.loads((ROOT / "workflows" / name / "workflow.json").read_text("utf-8"))

    assert _refused(exported, version) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_each_bound_graph_is_what_real_servers_accept(name: str, version: str) -> None:
    graph = drawn(LIBRARY.find(name), keep_outputs=True, width=1216, height=832).graph

    assert _refused(graph, version) == []


def _loras(name: str) -> list[str]:
    return sorted(
        file.name for file in LIBRARY.find(name).requirements.models if file.name.startswith(name)
    ) or [""]


def _refused(graph: Mapping[str, Any], version: str) -> list[str]:
    """Say what a server of this version would refuse, after its own definitions."""
    return [
        f"{node_id} {node['class_type']}.{name}: {value!r}"
        for node_id, node in graph.items()
        for name, value, spec in _inputs(node, _definition(version, node["class_type"]))
        if not _fits(graph, version, name, value, spec)
    ]


def _definition(version: str, class_type: str) -> dict[str, Any]:
    folder = ROOT / "tests" / "recordings" / "comfyui" / version / "object_info"
    found: dict[str, Any] = json.loads((folder / f"{class_type}.json").read_text("utf-8"))
    definition: dict[str, Any] = found[class_type]
    return definition


def _inputs(node: Mapping[str, Any], definition: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    required = definition["input"].get("required", {})
    known = {**required, **definition["input"].get("optional", {})}
    named = {**dict.fromkeys(required), **node["inputs"]}
    return [(name, value, known.get(name)) for name, value in named.items()]


def _fits(graph: Mapping[str, Any], version: str, name: str, value: Any, spec: Any) -> bool:
    if spec is None:
        return False
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    if isinstance(kind, list) or kind == "COMBO":
        return name in FILES or value in (kind if isinstance(kind, list) else options["options"])
    match kind:
        case "STRING":
            return isinstance(value, str)
        case "BOOLEAN":
            return isinstance(value, bool)
        case "INT":
            return type(value) is int and options["min"] <= value <= options["max"]
        case "FLOAT":
            return type(value) in (int, float) and options["min"] <= value <= options["max"]
    source, slot = value
    return bool(_definition(version, graph[source]["class_type"])["output"][slot] == kind)
