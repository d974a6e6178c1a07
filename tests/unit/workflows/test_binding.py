"""Putting a request into a graph."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.library import MAX_SEED, load_workflows
from tests.support.shipped_workflows import shipped_workflows
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
    node,
    plain,
    write_persona_folder,
)


def test_words_seed_and_size_go_where_the_links_lead(tmp_path: Path) -> None:
    graph = bound(tmp_path, plain(), prompt="a dog", seed=7, width=832, height=1216)

    assert inputs(graph, "27")["text"] == "a dog"
    assert inputs(graph, "3")["seed"] == 7
    assert inputs(graph, "13") == {"width": 832, "height": 1216, "batch_size": 1}
    assert (graph.width, graph.height, graph.seed) == (832, 1216, 7)


def test_the_size_of_the_workflow_is_the_default(tmp_path: Path) -> None:
    graph = bound(tmp_path, plain(), height=1024)

    assert (graph.width, graph.height) == (1024, 1024)


def test_the_picture_is_a_preview_under_a_fresh_name(tmp_path: Path) -> None:
    graph = bound(tmp_path, plain(), prefix="chat/7f3a")

    assert graph.output_node == "9"
    assert graph.graph["9"]["class_type"] == "PreviewImage"
    assert inputs(graph, "9") == {"images": ["8", 0], "filename_prefix": "chat/7f3a"}


def test_outputs_are_kept_on_the_host_when_asked(tmp_path: Path) -> None:
    graph = bound(tmp_path, plain(), prefix="chat/7f3a", keep_outputs=True)

    assert graph.graph["9"]["class_type"] == "SaveImage"
    assert inputs(graph, "9") == {"images": ["8", 0], "filename_prefix": "chat/7f3a"}


def test_a_picture_that_the_artist_sends_through_the_websocket_is_sent(tmp_path: Path) -> None:
    workflow = loaded(tmp_path, plain(**{"9": node("SaveImageWebsocket", images=["8", 0])}))

    graph = drawn(workflow, keep_outputs=True)

    assert graph.graph["9"]["class_type"] == "SaveImageWebsocket"
    assert inputs(graph, "9") == {"images": ["8", 0]}
    assert "SaveImageWebsocket" in workflow.requirements.classes
    assert not workflow.requirements.classes & {"SaveImage", "PreviewImage"}


@pytest.mark.parametrize("class_type", ["Image Saver", "PreviewImage"])
def test_any_save_node_becomes_one_that_the_history_knows(tmp_path: Path, class_type: str) -> None:
    graph = bound(tmp_path, plain(**{"9": node(class_type, images=["8", 0])}), keep_outputs=True)

    assert graph.graph["9"]["class_type"] == "SaveImage"


def test_the_largest_seed_stays_exact(tmp_path: Path) -> None:
    graph = bound(tmp_path, plain(), seed=MAX_SEED)

    assert json.loads(json.dumps(graph.graph))["3"]["inputs"]["seed"] == 2**53 - 1


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_a_seed_out_of_range_is_refused(tmp_path: Path, seed: int) -> None:
    workflow = loaded(tmp_path, plain())

    with pytest.raises(WorkflowFault, match="is not from 0 to 9007199254740991"):
        drawn(workflow, seed=seed)


@pytest.mark.parametrize("side", [0, 48, 1001, 8192])
def test_a_bad_size_is_refused(tmp_path: Path, side: int) -> None:
    workflow = loaded(tmp_path, plain())

    with pytest.raises(WorkflowFault, match=f"input width: {side} is no size"):
        drawn(workflow, width=side)


def test_binding_never_changes_the_workflow(tmp_path: Path) -> None:
    stack = node("Power Lora Loader", model=["28", 0], lora_1={"lora": "x.safetensors"})
    workflow = loaded(tmp_path, plain(**{"40": stack}))
    first = drawn(workflow)
    inputs(first, "40")["lora_1"]["lora"] = "spoiled"
    inputs(first, "3").clear()

    second = drawn(workflow)

    assert inputs(second, "40")["lora_1"] == {"lora": "x.safetensors"}
    assert inputs(second, "3")["seed"] == 7


def test_the_cache_key_is_of_the_picture_and_not_of_its_file(tmp_path: Path) -> None:
    workflow = loaded(tmp_path, plain())

    keys = {
        drawn(workflow, prefix="a").cache_key,
        drawn(workflow, prefix="b").cache_key,
        drawn(workflow, prefix="b", keep_outputs=True).cache_key,
    }

    assert len(keys) == 1


@pytest.mark.parametrize(
    "asked", [{"seed": 8}, {"prompt": "a bird"}, {"width": 832}, {"height": 1024}]
)
def test_another_picture_has_another_cache_key(tmp_path: Path, asked: dict[str, Any]) -> None:
    workflow = loaded(tmp_path, plain())

    assert drawn(workflow, **asked).cache_key != drawn(workflow).cache_key


GRAPHS = [
    plain(),
    plain(**{**REFINED, "60": ksampler(latent_image=["3", 0])}),
    plain(**ADVANCED, **{"51": BASIC}),
    plain(**{"99": BLANK, "3": ksampler(negative=["99", 0])}),
]


@settings(max_examples=60)
@given(graph=st.sampled_from(GRAPHS), dice=st.randoms(use_true_random=False))
def test_other_ids_in_another_order_bind_alike(
    tmp_path_factory: pytest.TempPathFactory, graph: dict[str, Any], dice: random.Random
) -> None:
    ids = {old: f"{dice.randrange(1, 99)}:{n}" for n, old in enumerate(graph)}
    order = dice.sample(list(graph), len(graph))
    shuffled = {ids[old]: _renamed(graph[old], ids) for old in order}

    one = bound(tmp_path_factory.mktemp("one"), graph)
    two = bound(tmp_path_factory.mktemp("two"), shuffled)

    assert (two.cache_key, two.requirements.model_set) == (
        one.cache_key,
        one.requirements.model_set,
    )
    assert two.output_node == ids[one.output_node]
    assert two.graph == {ids[old]: _renamed(value, ids) for old, value in one.graph.items()}


@settings(max_examples=100)
@given(
    prompt=st.text(),
    seed=st.integers(0, MAX_SEED),
    width=st.integers(8, 512).map(lambda n: n * 8),
)
def test_whatever_is_asked_is_in_the_graph_and_binds_alike_again(
    prompt: str, seed: int, width: int
) -> None:
    workflow = shipped_workflows().find("lina")

    graph = drawn(workflow, prompt=prompt, seed=seed, width=width)

    assert graph == drawn(workflow, prompt=prompt, seed=seed, width=width)
    assert (inputs(graph, "57:27")["text"], inputs(graph, "57:3")["seed"]) == (prompt, seed)
    assert inputs(graph, "57:13")["width"] == width


def _renamed(value: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    moved = {
        name: [ids[given[0]], given[1]] if isinstance(given, list) else given
        for name, given in value["inputs"].items()
    }
    return {**value, "inputs": moved}


def test_so_many_images_as_are_asked_for_are_drawn_at_once(tmp_path: Path) -> None:
    batch = node("EmptySD3LatentImage", "Size", width=1024, height=768, batch_size=["70", 0])
    graph = plain(**{"13": batch, "70": node("PrimitiveInt", value=4)})

    workflow = loaded(tmp_path, graph)

    assert inputs(drawn(workflow), "70")["value"] == 1
    assert inputs(drawn(workflow, count=3), "70")["value"] == 3
    assert drawn(workflow).cache_key != drawn(workflow, count=3).cache_key


def test_where_latents_are_repeated_the_images_are_counted_there_alone(tmp_path: Path) -> None:
    batch = node("EmptySD3LatentImage", "Size", width=1024, height=768, batch_size=2)
    repeat = node("RepeatLatentBatch", samples=["13", 0], amount=2)
    graph = plain(**{"13": batch, "70": repeat, "3": ksampler(latent_image=["70", 0])})

    bound_graph = drawn(loaded(tmp_path, graph), count=3)

    assert inputs(bound_graph, "70")["amount"] == 3
    assert inputs(bound_graph, "13")["batch_size"] == 1


def test_an_album_needs_a_graph_with_a_batch(tmp_path: Path) -> None:
    graph = plain()
    del graph["13"]["inputs"]["batch_size"]
    folder = write_persona_folder(tmp_path, graph)
    toml = folder / "persona.toml"
    toml.write_text(f"images_per_request = 2\n{toml.read_text('utf-8')}", encoding="utf-8")

    broken = load_workflows(tmp_path).faults["lina"]

    assert "images_per_request: the graph has no node with a batch_size" in broken.sentence
