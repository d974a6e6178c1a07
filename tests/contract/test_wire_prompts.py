"""How prompts are taken in."""

import copy
import uuid

from tests.contract.client import Visitor
from tests.contract.graphs import previewed, saved, scaled
from tests.contract.timing import Pace
from tests.contract.websocket_listener import Ear

LARGEST_SEED = 2**64 - 1


async def test_the_prompt_id_of_the_client_is_kept(visitor: Visitor, ear: Ear) -> None:
    wanted = str(uuid.uuid4())
    status, answer = await visitor.offer(saved(), prompt_id=wanted)
    await ear.hear_end(wanted)

    assert status == 200
    assert answer["prompt_id"] == wanted
    assert isinstance(answer["number"], int | float)
    assert answer["node_errors"] == {}
    assert await visitor.entry(wanted) is not None


async def test_the_same_id_twice_runs_twice_and_the_history_shows_the_last(
    visitor: Visitor, ear: Ear
) -> None:
    first, second = previewed(), saved()
    prompt_id = await visitor.post(first)
    await visitor.post(second, prompt_id=prompt_id)
    await ear.hear_end(prompt_id)
    again = await ear.hear_end(prompt_id)

    entry = await visitor.entry(prompt_id)
    assert "execution_start" in {frame.kind for frame in again}
    assert [image["type"] for image in entry["outputs"]["2"]["images"]] == ["output"]


async def test_what_a_client_adds_comes_back_in_queue_and_history(
    visitor: Visitor, ear: Ear, pace: Pace
) -> None:
    own = {"chatflow_imagegen": {"request": "7f3a", "number": LARGEST_SEED}}
    prompt_id = await visitor.post(await pace.slow(visitor, ear), extra_data=own)
    await ear.hear("executing", prompt_id)
    queue = await visitor.get("/queue")
    await visitor.take_off(prompt_id)

    queued = [item for item in queue["queue_running"] if item[1] == prompt_id]
    entry = await visitor.entry_soon(prompt_id)
    if not queued:
        visitor.host.give_up("the prompt was over too soon to be seen in the queue")
    assert queued[0][3]["chatflow_imagegen"] == own["chatflow_imagegen"]
    assert entry["prompt"][3]["chatflow_imagegen"] == own["chatflow_imagegen"]
    assert entry["prompt"][3]["client_id"] == visitor.client_id


async def test_an_input_that_no_node_knows_does_no_harm(visitor: Visitor, ear: Ear) -> None:
    prompt_id = await visitor.post(previewed(nobody_knows_this=LARGEST_SEED))
    frames = await ear.hear_end(prompt_id)

    entry = await visitor.entry(prompt_id)
    assert "execution_success" in {frame.kind for frame in frames}
    assert entry["prompt"][2]["2"]["inputs"]["nobody_knows_this"] == LARGEST_SEED


async def test_a_title_in_the_graph_does_no_harm(visitor: Visitor, ear: Ear) -> None:
    graph = saved()
    graph["2"]["_meta"] = {"title": "Ash, by the window"}
    prompt_id = await visitor.post(graph)

    frames = await ear.hear_end(prompt_id)
    assert "execution_success" in {frame.kind for frame in frames}


async def test_node_ids_need_not_be_numbers(visitor: Visitor, ear: Ear) -> None:
    graph = saved()
    graph["57:8"] = graph.pop("1")
    graph["2"]["inputs"]["images"] = ["57:8", 0]
    prompt_id = await visitor.post(graph)

    frames = await ear.hear_end(prompt_id)
    assert "execution_success" in {frame.kind for frame in frames}


async def test_of_two_outputs_the_good_one_is_drawn_and_the_other_named(
    visitor: Visitor, ear: Ear
) -> None:
    graph = saved()
    graph["3"] = copy.deepcopy(graph["2"])
    del graph["3"]["inputs"]["images"]
    status, answer = await visitor.offer(graph)
    frames = await ear.hear_end(answer["prompt_id"])

    entry = await visitor.entry(answer["prompt_id"])
    assert status == 200
    assert answer["node_errors"].keys() == {"3"}
    assert answer["node_errors"]["3"]["errors"][0]["type"] == "required_input_missing"
    assert "execution_success" in {frame.kind for frame in frames}
    assert entry["outputs"].keys() == {"2"}


async def test_a_picture_is_scaled(visitor: Visitor, ear: Ear) -> None:
    prompt_id = await visitor.post(scaled())

    frames = await ear.hear_end(prompt_id)
    nodes = [frame.facts["node"] for frame in frames if frame.kind == "executing"]
    assert nodes == ["1", "3", "2", None]
