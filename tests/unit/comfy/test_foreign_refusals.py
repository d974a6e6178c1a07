"""Refusals in forms that are not ComfyUI's."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.comfy.error_messages import read_refusal

KEYS = st.sampled_from(
    [
        *("error", "node_errors", "errors", "type", "message", "details", "extra_info", "1"),
        *("input_name", "input_config", "received_value", "linked_node", "class_type"),
    ]
)
anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"error": None},
        None,
        [],
        "<html>Bad Gateway</html>",
        {"error": {"type": "", "details": None, "extra_info": [], "message": ""}},
        {"error": {}, "node_errors": []},
        {"error": {"type": []}},
        {"error": [], "node_errors": {"1": None}},
        {"node_errors": {"1": {"errors": None}}},
        {"node_errors": {"1": {"errors": ["bad"]}}},
        {"node_errors": {"1": {"errors": [{"extra_info": 7}]}}},
    ],
)
def test_a_refusal_in_a_foreign_form_is_still_a_refusal(body: Any) -> None:
    error = read_refusal("gpu-1", {}, body)

    assert error.code == "prompt_refused"
    assert error.sentence.endswith("it does not say why")


def test_a_refusal_of_somebody_in_between_is_repeated() -> None:
    error = read_refusal("gpu-1", {}, {"error": "unauthorized"})

    assert error.sentence == "gpu-1 refuses the graph: unauthorized"


@given(anything, st.dictionaries(st.sampled_from("123"), st.none() | st.just({"_meta": 1})))
def test_any_json_is_a_refusal(body: Any, graph: dict[str, Any]) -> None:
    error = read_refusal("gpu-1", graph, body)

    assert error.sentence.startswith("gpu-1 refuses the graph: ")
