"""What the history holds of a prompt, and from when on."""

import uuid

from tests.contract.client import ContractClient
from tests.contract.graphs import saved
from tests.contract.timing import SlowGraphs
from tests.contract.websocket_listener import EventListener


async def test_a_prompt_that_never_was_has_no_history(contract_client: ContractClient) -> None:
    assert await contract_client.get(f"/history/{uuid.uuid4()}") == {}


async def test_a_prompt_has_no_history_while_it_is_on_the_host(
    contract_client: ContractClient, listener: EventListener, slow_graphs: SlowGraphs
) -> None:
    running = await contract_client.post(await slow_graphs.slow(contract_client, listener))
    pending = await contract_client.post(saved())
    await listener.wait_for("executing", running)

    entries = [await contract_client.entry(running), await contract_client.entry(pending)]
    await contract_client.expect_running(running)
    assert entries == [None, None]


async def test_the_history_is_there_at_executing_null(
    contract_client: ContractClient, listener: EventListener
) -> None:
    prompt_id = await contract_client.post(saved())
    await listener.wait_for_end(prompt_id)

    assert await contract_client.entry(prompt_id) is not None


async def test_the_history_is_there_soon_after_the_success(
    contract_client: ContractClient, listener: EventListener
) -> None:
    prompt_id = await contract_client.post(saved())
    await listener.wait_for("execution_success", prompt_id)

    entry = await contract_client.entry_soon(prompt_id)
    assert entry["status"]["status_str"] == "success"


async def test_an_entry_tells_the_prompt_its_pictures_and_its_story(
    contract_client: ContractClient, listener: EventListener
) -> None:
    graph = saved()
    prompt_id = await contract_client.post(graph)
    await listener.wait_for_end(prompt_id)

    entry = await contract_client.entry(prompt_id)
    _, its_id, its_graph, _, its_outputs = entry["prompt"][:5]
    states = [event for event, _ in entry["status"]["messages"]]
    assert its_id == prompt_id
    assert {node: its_graph[node]["inputs"] for node in its_graph} == {
        node: graph[node]["inputs"] for node in graph
    }
    assert its_outputs == ["2"]
    assert entry["outputs"].keys() == {"2"}
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("success", True)
    assert (states[0], states[-1]) == ("execution_start", "execution_success")


async def test_a_node_that_fails_is_named_in_feed_and_history(
    contract_client: ContractClient, listener: EventListener
) -> None:
    status, answer = await contract_client.try_post(saved(images="no picture"))
    if status == 400:
        contract_client.host.skip("a text in the place of a link is refused before it could fail")
    prompt_id = answer["prompt_id"]
    error = await listener.wait_for("execution_error", prompt_id)
    frames = await listener.wait_for_end(prompt_id)

    entry = await contract_client.entry(prompt_id)
    messages = dict(entry["status"]["messages"])
    assert (error.data["node_id"], error.data["node_type"]) == ("2", "SaveImage")
    assert isinstance(error.data["exception_type"], str)
    assert isinstance(error.data["exception_message"], str)
    assert "execution_success" not in {frame.kind for frame in frames}
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    assert messages["execution_error"]["node_id"] == "2"


async def test_an_entry_can_be_deleted(
    contract_client: ContractClient, listener: EventListener
) -> None:
    kept, deleted = await contract_client.post(saved()), await contract_client.post(saved())
    await listener.wait_for_end(deleted)

    status, _ = await contract_client.send("/history", {"delete": [deleted]})
    assert status == 200
    assert await contract_client.entry(deleted) is None
    assert await contract_client.entry(kept) is not None


async def test_an_entry_that_is_not_there_can_be_deleted(contract_client: ContractClient) -> None:
    status, _ = await contract_client.send("/history", {"delete": [str(uuid.uuid4())]})

    assert status == 200
