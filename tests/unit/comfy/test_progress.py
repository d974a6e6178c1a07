"""How far a picture is."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.comfy import events
from imagegen.comfy.events import (
    Cached,
    Ended,
    Event,
    Failed,
    NodeDone,
    NodeProgress,
    NodeStarted,
    Preview,
    Started,
    Succeeded,
)
from imagegen.comfy.progress import Progress, PromptTracker
from imagegen.comfy.timeouts import PromptDeadlines
from tests.support.comfyui_client import graph_without_model, persona_graph
from tests.support.comfyui_frames import FILES, frame_of
from tests.support.comfyui_recording import RECORDINGS, read_recording
from tests.support.prompt_execution import LIMITS, prompt_job

P = "7f3a"
# The ids of tests/support/comfyui_client.py: loaders 1, 2, 3, 8, text 4, sampler 7, decoder 9, preview 10.
LOADED = frozenset(("1", "2", "3", "8"))
NODES = st.sampled_from([*map(str, range(1, 11)), "57:28"])
EVENTS = st.one_of(
    st.just(Started(prompt_id=P)),
    st.builds(Cached, prompt_id=st.just(P), nodes=st.frozensets(NODES)),
    st.builds(NodeStarted, prompt_id=st.just(P), node=NODES),
    st.builds(NodeDone, prompt_id=st.just(P), node=NODES, output=st.just({})),
    st.builds(NodeProgress, prompt_id=st.just(P), nodes=st.dictionaries(NODES, st.floats(0, 1))),
    st.just(Ended(prompt_id=P)),
)


def test_of_images_that_a_host_sends_without_end_fifty_mebibytes_are_kept() -> None:
    job = prompt_job(graph_without_model(1, save="SaveImageWebsocket"), P)
    clock = time.monotonic
    tracker = PromptTracker(job, PromptDeadlines(LIMITS, clock), clock)
    image = Preview(prompt_id=P, node=job.node, content_type="image/png", image=bytes(20 * 2**20))

    for _ in range(5):
        tracker.receive(image)

    assert tracker.images == [image.image] * 2


def test_models_are_loaded_when_the_sampler_has_done_its_first_step() -> None:
    now = 0.0
    graph = persona_graph()
    job = prompt_job(graph, P)
    tracker = PromptTracker(job, PromptDeadlines(LIMITS, lambda: now), lambda: now)
    (sampler,) = [node for node, entry in graph.items() if "latent_image" in entry["inputs"]]
    tracker.receive(Started(prompt_id=P))
    other = next(node for node in graph if node != sampler)

    for at, node, share in ((1.0, other, 1.0), (2.0, sampler, 0.0), (3.0, sampler, 0.125)):
        now = at
        tracker.receive(NodeProgress(prompt_id=P, nodes={node: share}))

    assert (tracker.started_at, tracker.first_step_at) == (0.0, 3.0)


def test_how_busy_the_gpus_of_the_host_are_is_passed_on() -> None:
    told: list[tuple[float, ...]] = []
    job = replace(prompt_job(persona_graph(), P), on_gpus=told.append)
    tracker = PromptTracker(job, PromptDeadlines(LIMITS, time.monotonic), time.monotonic)

    is_over = tracker.receive(events.GpusTold(utilisation=(0.5,)))

    assert (is_over, told) == (False, [(0.5,)])


def test_nothing_is_done_at_first() -> None:
    assert _after(Started(prompt_id=P)) == 0


def test_of_a_warm_host_the_sampler_is_most() -> None:
    cached = Cached(prompt_id=P, nodes=LOADED)

    before = _after(cached, NodeStarted(prompt_id=P, node="7"))
    after = _after(cached, NodeStarted(prompt_id=P, node="7"), _steps(8))

    assert 0.05 < before < 0.15
    assert 0.8 < after < 0.95


def test_of_a_cold_host_the_loaders_count_too() -> None:
    assert 0.3 < _after(NodeStarted(prompt_id=P, node="7")) < 0.5


def test_a_sampler_weighs_as_much_as_its_steps() -> None:
    graph = persona_graph()
    graph["7"]["inputs"]["steps"] = 30

    assert _after(_steps(8), graph=graph) > _after(_steps(8))


def test_half_the_steps_are_half_of_the_sampler() -> None:
    none, half, all_ = (_after(_steps(number)) for number in (0, 4, 8))

    assert half == pytest.approx((none + all_) / 2)


def test_it_never_runs_backwards() -> None:
    assert _after(_steps(4), _steps(2)) == _after(_steps(4))


def test_a_node_that_runs_has_all_before_it_done() -> None:
    alone = _after(NodeStarted(prompt_id=None, node="9"))
    told = _after(*(NodeDone(prompt_id=P, node=node, output={}) for node in "12345678"))

    assert alone == told


def test_a_node_that_ran_before_another_is_done() -> None:
    started = NodeStarted(prompt_id=P, node="8")

    assert _after(started, NodeStarted(prompt_id=P, node="3")) > _after(started)


def test_cached_nodes_do_not_count() -> None:
    everything = frozenset(persona_graph())

    assert _after(Cached(prompt_id=P, nodes=LOADED)) == 0
    assert _after(Cached(prompt_id=P, nodes=everything)) == 0
    assert _after(Cached(prompt_id=P, nodes=everything), Succeeded(prompt_id=P)) == 1


def test_only_success_is_the_end() -> None:
    done = NodeDone(prompt_id=P, node="10", output={})
    failed = Failed(prompt_id=P, node="7", node_type="", exception_type="", message="")

    assert 0.95 < _after(done) < 1
    assert _after(done, Succeeded(prompt_id=P)) == 1
    assert _after(done, failed, Ended(prompt_id=P)) < 1


def test_nodes_of_another_graph_change_nothing() -> None:
    assert _after(NodeProgress(prompt_id=P, nodes={"999": 1.0})) == 0


def test_a_graph_that_runs_in_a_circle_is_no_trouble() -> None:
    graph = {
        "1": {"class_type": "A", "inputs": {"a": ["2", 0]}},
        "2": {"class_type": "A", "inputs": {"a": ["1", 0], "b": ["7", 0], "c": [1]}},
    }

    assert 0 < _after(NodeStarted(prompt_id=P, node="1"), graph=graph) < 1


@pytest.mark.parametrize("version", ["0.33", "0.3.64"])
@pytest.mark.parametrize("left_out", [(), (NodeProgress,), (NodeStarted,), (Cached,)])
def test_a_picture_of_a_real_server_rises_to_the_end(
    version: str, left_out: tuple[type[Event], ...]
) -> None:
    file = RECORDINGS / version / "s04_zimage_workflow.jsonl"

    first, second = _replayed(file, left_out)

    assert first[-1] == second[-1] == 1
    # The end is told twice: the prompt succeeded, and was put away.
    assert max(first[:-2]) < 1
    assert len({share for share in first if 0.05 < share < 0.95}) >= 5


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_every_prompt_of_a_real_server_only_rises(file: Path) -> None:
    for shares in _replayed(file):
        assert shares == sorted(shares)
        assert 0 <= shares[0] <= shares[-1] <= 1


@given(st.lists(EVENTS))
def test_it_only_rises_and_waits_for_the_end_whatever_comes(heard: list[Event]) -> None:
    progress = Progress(persona_graph())
    shares = [progress.share]

    for event in heard:
        progress.note(event)
        shares.append(progress.share)

    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] < 1


def _after(*heard: Event, graph: dict[str, Any] | None = None) -> float:
    progress = Progress(graph or persona_graph())
    for event in heard:
        progress.note(event)
    return progress.share


def _steps(number: int) -> NodeProgress:
    return NodeProgress(prompt_id=P, nodes={"7": number / 8})


def _replayed(file: Path, left_out: tuple[type[Event], ...] = ()) -> list[list[float]]:
    """Give the shares of each prompt of a recording, in the order of the prompts."""
    progresses: dict[str, Progress] = {}
    shares: dict[str, list[float]] = {}
    for line in read_recording(file):
        match line.data:
            case {"request": {"prompt": dict(graph)}, "response": {"prompt_id": prompt_id}}:
                progresses.setdefault(prompt_id, Progress(graph))
        event = events.read_event(frame_of(line)) if line.is_frame else None
        prompt_id = getattr(event, "prompt_id", None)
        if event and prompt_id in progresses and not isinstance(event, left_out):
            progresses[prompt_id].note(event)
            shares.setdefault(prompt_id, []).append(progresses[prompt_id].share)
    return list(shares.values())
