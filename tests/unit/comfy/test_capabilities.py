"""Capabilities of hosts, read from recordings of real servers and from unusual answers."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.comfy.capabilities import HostCapabilities, Missing, ModelFile, Requirements
from tests.support.shipped_workflows import shipped_workflows

RECORDINGS = Path(__file__).parents[2] / "recordings" / "comfyui"
VERSIONS = ["0.3.64", "0.33"]
UNET = ModelFile(class_type="UNETLoader", input="unet_name", name="z_image_turbo_bf16.safetensors")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@cache
def recorded(version: str) -> HostCapabilities:
    definitions: dict[str, Any] = {}
    for file in (RECORDINGS / version / "object_info").glob("*.json"):
        definitions |= json.loads(file.read_text())
    return HostCapabilities.read(definitions)


def host(spec: Any, section: str = "required") -> HostCapabilities:
    return HostCapabilities.read({"Loader": {"input": {section: {"name": spec}}}})


def wants(name: str) -> Requirements:
    file = ModelFile(class_type="Loader", input="name", name=name)
    return Requirements(model_set="any", models=frozenset({file}))


@pytest.mark.parametrize("version", VERSIONS)
def test_real_servers_have_what_they_listed(version: str) -> None:
    needs = Requirements(
        model_set="any", classes=frozenset({"KSampler", "PreviewImage"}), models=frozenset({UNET})
    )

    assert recorded(version).missing(needs) == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_real_server_lacks_of_a_shipped_workflow_is_named(version: str) -> None:
    library = shipped_workflows()

    missing = recorded(version).missing(library.find("ash").requirements)

    assert {each.code for each in missing} == {"model_missing"}
    assert any("LoraLoaderModelOnly has no lora_name" in each.sentence for each in missing)
    assert not any("z_image_turbo_bf16" in each.sentence for each in missing)


def test_a_missing_node_has_its_own_code_and_what_is_missing_is_sorted() -> None:
    needs = Requirements(
        model_set="any",
        classes=frozenset({"Magic", "Loader"}),
        models=wants("b.safetensors").models | wants("a.safetensors").models,
    )

    missing = host([[]]).missing(needs)

    assert missing == (
        Missing(code="model_missing", sentence="Loader has no name 'a.safetensors'"),
        Missing(code="model_missing", sentence="Loader has no name 'b.safetensors'"),
        Missing(code="node_missing", sentence="there is no node class Magic"),
    )


@pytest.mark.parametrize(
    "spec",
    [
        [["a.safetensors", 1]],
        [["a.safetensors"], {"tooltip": "a file"}],
        ["COMBO", {"options": ["a.safetensors"], "multiselect": False}],
    ],
)
@pytest.mark.parametrize("section", ["required", "optional"])
def test_lists_of_old_and_new_servers_say_the_same(spec: Any, section: str) -> None:
    capabilities = host(spec, section)

    assert capabilities.missing(wants("a.safetensors")) == ()
    assert capabilities.missing(wants("b.safetensors")) != ()


@pytest.mark.parametrize("spec", [["STRING", {}], ["COMBO", {"remote": {}}], ["COMBO"], [], None])
def test_an_input_without_a_list_is_no_lack(spec: Any) -> None:
    assert host(spec).missing(wants("a.safetensors")) == ()


def test_an_input_that_the_definitions_do_not_know_is_no_lack() -> None:
    file = ModelFile(class_type="PowerLoader", input="lora_1", name="a.safetensors")
    capabilities = HostCapabilities.read({"PowerLoader": {"input": {"required": {}}}})

    assert capabilities.missing(Requirements(model_set="any", models=frozenset({file}))) == ()


def test_a_windows_host_has_the_file_and_is_posted_its_own_spelling() -> None:
    capabilities = host([["zit\\ash.safetensors", "lina.safetensors"]])
    inputs = {"name": "zit/ash.safetensors", "model": ["2", 0]}

    posted = capabilities.with_host_paths({"1": {"class_type": "Loader", "inputs": inputs}})

    assert capabilities.missing(wants("zit/ash.safetensors")) == ()
    assert posted["1"]["inputs"] == {"name": "zit\\ash.safetensors", "model": ["2", 0]}
    assert inputs["name"] == "zit/ash.safetensors"


def test_a_graph_exported_on_windows_is_drawn_elsewhere() -> None:
    capabilities = host([["zit/ash.safetensors"]])
    node = {"class_type": "Loader", "inputs": {"name": "zit\\ash.safetensors"}}

    assert capabilities.missing(wants("zit\\ash.safetensors")) == ()
    assert capabilities.with_host_paths({"1": node})["1"]["inputs"] == {
        "name": "zit/ash.safetensors"
    }


def test_what_is_no_file_of_the_host_is_posted_as_it_stands() -> None:
    node = {"class_type": "CLIPTextEncode", "inputs": {"text": "either/or", "clip": ["1", 0]}}

    assert host([["a.safetensors"]]).with_host_paths({"1": node}) == {"1": node}


@pytest.mark.parametrize(
    "answer", [{}, {"error": {"message": "no"}}, {"a": 1}, {"a": {"input": []}}]
)
def test_an_answer_without_definitions_is_none(answer: Any) -> None:
    with pytest.raises(ValueError, match="no definitions"):
        HostCapabilities.read(answer)


@given(st.dictionaries(st.text(max_size=5), st.fixed_dictionaries({"input": JSON}), max_size=4))
def test_whatever_a_custom_node_says_of_itself_hides_no_other(definition: dict[str, Any]) -> None:
    sound = {"Loader": {"input": {"required": {"name": [["a.safetensors"]]}}}}

    capabilities = HostCapabilities.read(definition | sound)

    assert capabilities.missing(wants("b.safetensors")) != ()
