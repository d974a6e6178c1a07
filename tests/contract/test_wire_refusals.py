"""What a host refuses, and in which form it says so."""

from typing import Any

import pytest

from tests.contract.client import Visitor
from tests.contract.graphs import Graph, empty_image, saved, scaled


async def _refusal(visitor: Visitor, graph: Graph) -> Any:
    status, answer = await visitor.offer(graph)
    assert status == 400, answer
    assert isinstance(answer["error"]["type"], str)
    assert isinstance(answer["error"]["message"], str)
    return answer


async def test_a_class_that_is_not_installed_is_refused_at_once(visitor: Visitor) -> None:
    graph = saved({"class_type": "NoHostHasThisNode", "inputs": {}})

    answer = await _refusal(visitor, graph)
    # The first from old servers, the second from new ones.
    assert answer["error"]["type"] in {"invalid_prompt", "missing_node_type"}
    assert not answer["node_errors"]
    assert "NoHostHasThisNode" in answer["error"]["message"]


async def test_a_graph_without_an_output_is_refused(visitor: Visitor) -> None:
    answer = await _refusal(visitor, {"1": empty_image()})

    assert answer["error"]["type"] == "prompt_no_outputs"
    assert not answer["node_errors"]


@pytest.mark.parametrize(
    ("inputs", "fault"),
    [
        ({"width": 2**31}, "value_bigger_than_max"),
        ({"width": -1}, "value_smaller_than_min"),
        ({"upscale_method": "by_hand"}, "value_not_in_list"),
        ({"width": "wide"}, "invalid_input_type"),
    ],
)
async def test_a_value_that_will_not_do_is_named(
    visitor: Visitor, inputs: dict[str, Any], fault: str
) -> None:
    answer = await _refusal(visitor, scaled(**inputs))

    (error,) = answer["node_errors"]["3"]["errors"]
    (name,) = inputs
    assert answer["error"]["type"] == "prompt_outputs_failed_validation"
    assert error["type"] == fault
    assert error["extra_info"]["input_name"] == name
    assert error["extra_info"]["received_value"] == inputs[name]
    assert answer["node_errors"]["3"]["class_type"] == "ImageScale"
    assert answer["node_errors"]["3"]["dependent_outputs"] == ["2"]


async def test_a_missing_input_is_named(visitor: Visitor) -> None:
    graph = scaled()
    del graph["3"]["inputs"]["height"]

    answer = await _refusal(visitor, graph)
    (error,) = answer["node_errors"]["3"]["errors"]
    assert answer["error"]["type"] == "prompt_outputs_failed_validation"
    assert error["type"] == "required_input_missing"
    assert error["extra_info"]["input_name"] == "height"


@pytest.mark.parametrize("link", [["77", 0], ["1", 5], ["1"]])
async def test_a_link_to_nowhere_is_refused(visitor: Visitor, link: list[Any]) -> None:
    answer = await _refusal(visitor, saved(images=link))

    assert answer["error"]["type"] == "prompt_outputs_failed_validation"
    assert [entry["errors"] for entry in answer["node_errors"].values() if entry["errors"]]


async def test_a_body_without_a_prompt_is_refused(visitor: Visitor) -> None:
    status, _ = await visitor.send("/prompt", {"client_id": visitor.client_id})

    assert status == 400


async def test_a_refused_prompt_leaves_no_trace(visitor: Visitor) -> None:
    await _refusal(visitor, {"1": empty_image()})

    (prompt_id,) = visitor.posted
    assert prompt_id not in await visitor.on_host()
    assert await visitor.entry(prompt_id) is None
