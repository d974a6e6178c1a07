"""What the history keeps of a prompt, and from when on."""

import uuid

from tests.contract.client import Visitor
from tests.contract.graphs import saved
from tests.contract.timing import Pace
from tests.contract.websocket_listener import Ear


async def test_a_prompt_that_never_was_has_no_history(visitor: Visitor) -> None:
    assert await visitor.get(f"/history/{uuid.uuid4()}") == {}


async def test_a_prompt_has_no_history_while_it_is_on_the_host(
    visitor: Visitor, ear: Ear, pace: Pace
) -> None:
    running = await visitor.post(await pace.slow(visitor, ear))
    pending = await visitor.post(saved())
    await ear.hear("executing", running)

    entries = [await visitor.entry(running), await visitor.entry(pending)]
    await visitor.expect_running(running)
    assert entries == [None, None]


async def test_the_history_is_there_at_executing_null(visitor: Visitor, ear: Ear) -> None:
    prompt_id = await visitor.post(saved())
    await ear.hear_end(prompt_id)

    assert await visitor.entry(prompt_id) is not None


async def test_the_history_is_there_soon_after_the_success(visitor: Visitor, ear: Ear) -> None:
    prompt_id = await visitor.post(saved())
    await ear.hear("execution_success", prompt_id)

    entry = await visitor.entry_soon(prompt_id)
    assert entry["status"]["status_str"] == "success"


async def test_an_entry_tells_the_prompt_its_pictures_and_its_story(
    visitor: Visitor, ear: Ear
) -> None:
    graph = saved()
    prompt_id = await visitor.post(graph)
    await ear.hear_end(prompt_id)

    entry = await visitor.entry(prompt_id)
    _, its_id, its_graph, _, its_outputs = entry["prompt"][:5]
    told = [event for event, _ in entry["status"]["messages"]]
    assert its_id == prompt_id
    assert {node: its_graph[node]["inputs"] for node in its_graph} == {
        node: graph[node]["inputs"] for node in graph
    }
    assert its_outputs == ["2"]
    assert entry["outputs"].keys() == {"2"}
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("success", True)
    assert (told[0], told[-1]) == ("execution_start", "execution_success")


async def test_a_node_that_fails_is_named_in_feed_and_history(visitor: Visitor, ear: Ear) -> None:
    status, answer = await visitor.offer(saved(images="no picture"))
    if status == 400:
        visitor.host.give_up("a text in the place of a link is refused before it could fail")
    prompt_id = answer["prompt_id"]
    error = await ear.hear("execution_error", prompt_id)
    frames = await ear.hear_end(prompt_id)

    entry = await visitor.entry(prompt_id)
    messages = dict(entry["status"]["messages"])
    assert (error.facts["node_id"], error.facts["node_type"]) == ("2", "SaveImage")
    assert isinstance(error.facts["exception_type"], str)
    assert isinstance(error.facts["exception_message"], str)
    assert "execution_success" not in {frame.kind for frame in frames}
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    assert messages["execution_error"]["node_id"] == "2"


async def test_an_entry_can_be_deleted(visitor: Visitor, ear: Ear) -> None:
    kept, deleted = await visitor.post(saved()), await visitor.post(saved())
    await ear.hear_end(deleted)

    status, _ = await visitor.send("/history", {"delete": [deleted]})
    assert status == 200
    assert await visitor.entry(deleted) is None
    assert await visitor.entry(kept) is not None


async def test_an_entry_that_is_not_there_can_be_deleted(visitor: Visitor) -> None:
    status, _ = await visitor.send("/history", {"delete": [str(uuid.uuid4())]})

    assert status == 200
