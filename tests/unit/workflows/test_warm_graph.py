"""The smallest form of a persona's graph that still loads its models."""

from pathlib import Path
from typing import Any

import pytest

from imagegen.safety.rules import ScreenVerdict
from imagegen.safety.screen import shared_screen
from imagegen.workflows.warm_graph import WARM_PROMPT, warm_graphs
from tests.support.shipped_workflows import shipped_workflows
from tests.support.workflow_exports import ADVANCED, BASIC, inputs, ksampler, loaded, node, plain


def test_one_step_in_the_smallest_size_comes_first_and_the_personas_own_graph_last(
    tmp_path: Path,
) -> None:
    small, full = warm_graphs(loaded(tmp_path, plain()))

    assert inputs(small, "3")["steps"] == 1
    assert inputs(small, "13") == {"width": 64, "height": 64, "batch_size": 1}
    assert inputs(full, "3")["steps"] == 8
    assert inputs(full, "13") == {"width": 1024, "height": 768, "batch_size": 1}
    for graph in (small, full):
        assert inputs(graph, "27")["text"] == WARM_PROMPT
        assert inputs(graph, "40")["lora_name"] == "lina.safetensors"
        assert graph.graph[graph.output_node]["class_type"] == "PreviewImage"


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({**ADVANCED, "51": BASIC}, ("53", "steps")),
        ({"3": ksampler(steps=["70", 0]), "70": node("PrimitiveInt", value=8)}, ("70", "value")),
    ],
)
def test_the_steps_are_found_where_they_stand(
    tmp_path: Path, changed: dict[str, Any], where: tuple[str, str]
) -> None:
    small, _ = warm_graphs(loaded(tmp_path, plain(**changed)))

    assert inputs(small, where[0])[where[1]] == 1


@pytest.mark.parametrize(("start_at_step", "steps"), [(0, 1), (4, 8)])
def test_steps_that_two_samplers_share_out_stay(
    tmp_path: Path, start_at_step: int, steps: int
) -> None:
    part = {"noise_seed": 0, "start_at_step": start_at_step, "end_at_step": 10000}
    sampler = node("KSamplerAdvanced", **{**ksampler()["inputs"], **part})
    small, _ = warm_graphs(loaded(tmp_path, plain(**{"3": sampler})))

    assert inputs(small, "3")["steps"] == steps


def test_no_two_graphs_are_the_same_picture(tmp_path: Path) -> None:
    workflow = loaded(tmp_path, plain())

    keys = [graph.cache_key for _ in range(3) for graph in warm_graphs(workflow)]

    assert len(set(keys)) == len(keys)


def test_the_models_are_those_of_the_persona_in_all_shipped_graphs() -> None:
    for workflow in shipped_workflows().workflows.values():
        small, full = warm_graphs(workflow)

        assert small.requirements == full.requirements == workflow.requirements
        assert (small.width, small.height) == (64, 64)
        steps = [each["inputs"].get("steps", 1) for each in small.graph.values()]
        assert set(steps) == {1}


def test_the_screen_lets_the_prompt_pass() -> None:
    assert shared_screen().prompt(WARM_PROMPT).verdict is ScreenVerdict.CLEAR
