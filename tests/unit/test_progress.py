"""How far a picture is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.comfy import events
from imagegen.comfy.events import Cached, NodeProgress, Started
from imagegen.comfy.progress import Progress
from tests.comfyui_guest import portrait
from tests.comfyui_recording import RECORDINGS, read_recording

P = "7f3a"


def test_nothing_is_done_at_first() -> None:
    progress = Progress(portrait())

    progress.note(Started(prompt_id=P))

    assert progress.share == 0


def test_the_sampler_is_most_of_it() -> None:
    progress = Progress(portrait())

    progress.note(NodeProgress(prompt_id=P, nodes={"7": 1.0}))

    assert 0.6 < progress.share < 0.8


def test_it_never_runs_backwards() -> None:
    progress = Progress(portrait())
    progress.note(NodeProgress(prompt_id=P, nodes={"7": 0.5}))
    before = progress.share

    progress.note(NodeProgress(prompt_id=P, nodes={"7": 0.25}))

    assert progress.share == before


def test_cached_nodes_are_done() -> None:
    graph = portrait()
    progress = Progress(graph)

    progress.note(Cached(prompt_id=P, nodes=frozenset(graph)))

    assert progress.share == 1


def test_nodes_of_another_graph_change_nothing() -> None:
    progress = Progress(portrait())

    progress.note(NodeProgress(prompt_id=P, nodes={"999": 1.0}))

    assert progress.share == 0


@pytest.mark.parametrize("version", ["0.33", "0.3.64"])
def test_it_rises_to_the_end_on_a_real_server(version: str) -> None:
    lines = read_recording(RECORDINGS / version / "s04_zimage_workflow.jsonl")
    posted = next(line for line in lines if line.kind == "POST /prompt")
    progress = Progress(posted.data["request"]["prompt"])
    prompt_id = posted.data["response"]["prompt_id"]

    shares = []
    for line in lines:
        if line.direction == "recv" and line.data.get("data", {}).get("prompt_id") == prompt_id:
            progress.note(events.read(json.dumps(line.data)))
            shares.append(progress.share)

    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len({share for share in shares if 0.1 < share < 0.9}) >= 2


@given(st.lists(st.dictionaries(st.sampled_from("123456789"), st.floats(0, 1))))
def test_it_stays_between_none_and_all_and_only_rises(reports: list[dict[str, float]]) -> None:
    progress = Progress(portrait())
    shares = [progress.share]

    for nodes in reports:
        progress.note(NodeProgress(prompt_id=P, nodes=nodes))
        shares.append(progress.share)

    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1
