"""Cancelling prompts, without an effect on others."""

import json
import uuid

from tests.contract.client import ContractClient
from tests.contract.graphs import saved
from tests.contract.timing import SlowGraphs
from tests.contract.websocket_listener import EventListener

# An old server has no such route; its web pages answer in its place.
_NO_ROUTE = {404, 405}


async def test_a_deleted_prompt_leaves_no_event_and_no_history(
    contract_client: ContractClient, listener: EventListener, slow_graphs: SlowGraphs
) -> None:
    running = await contract_client.post(await slow_graphs.slow(contract_client, listener))
    pending = await contract_client.post(saved())
    await listener.wait_for("executing", running)
    await contract_client.expect_pending(pending)

    status, _ = await contract_client.send("/queue", {"delete": [pending]})
    states = await listener.wait_for("status")
    left = await contract_client.on_host()
    await contract_client.cancel(running)
    following = await contract_client.post(saved())
    frames = await listener.frames_until_end(following)

    assert status == 200
    assert states.data["status"]["exec_info"]["queue_remaining"] >= 0
    assert pending not in left
    assert await contract_client.entry(pending) is None
    assert pending not in {frame.prompt_id for frame in frames}


async def test_a_running_prompt_cannot_be_deleted(
    contract_client: ContractClient, listener: EventListener, slow_graphs: SlowGraphs
) -> None:
    running = await contract_client.post(await slow_graphs.slow(contract_client, listener))
    await listener.wait_for("executing", running)

    status, _ = await contract_client.send("/queue", {"delete": [running]})
    await contract_client.expect_running(running)
    following = await listener.wait_for("executing", running)
    assert status == 200
    assert following.data["node"] is not None


async def test_what_is_not_there_can_be_deleted_and_interrupted(
    contract_client: ContractClient,
) -> None:
    nobody = str(uuid.uuid4())

    deleted, _ = await contract_client.send("/queue", {"delete": [nobody]})
    interrupted, _ = await contract_client.send("/interrupt", {"prompt_id": nobody})
    assert (deleted, interrupted) == (200, 200)


async def test_an_interrupt_of_a_waiting_prompt_leaves_both_alone(
    contract_client: ContractClient, listener: EventListener, slow_graphs: SlowGraphs
) -> None:
    running = await contract_client.post(await slow_graphs.slow(contract_client, listener))
    pending = await contract_client.post(saved())
    await listener.wait_for("executing", running)
    await contract_client.expect_pending(pending)

    await contract_client.send("/interrupt", {"prompt_id": pending})
    # An interrupt is taken before a node: two more have to come.
    nodes = [(await listener.wait_for("executing", running)).data["node"] for _ in range(2)]
    left = await contract_client.on_host()
    assert None not in nodes
    assert {running, pending} <= left


async def test_an_interrupt_asked_for_until_it_is_heard_ends_a_running_prompt(
    contract_client: ContractClient, listener: EventListener, slow_graphs: SlowGraphs
) -> None:
    prompt_id = await contract_client.post(await slow_graphs.slow(contract_client, listener))
    await listener.wait_for("executing", prompt_id)

    await contract_client.cancel(prompt_id)
    frames = await listener.wait_for_end(prompt_id)
    kinds = [frame.kind for frame in frames]
    entry = await contract_client.entry(prompt_id)
    if "execution_success" in kinds:
        contract_client.host.skip("the prompt was over before it could be interrupted")
    assert kinds[-2:] == ["execution_interrupted", "executing"]
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    assert "execution_interrupted" in dict(entry["status"]["messages"])


async def test_a_running_job_can_be_cancelled_where_there_are_jobs(
    contract_client: ContractClient, listener: EventListener, slow_graphs: SlowGraphs
) -> None:
    prompt_id = await contract_client.post(await slow_graphs.slow(contract_client, listener))
    await listener.wait_for("executing", prompt_id)

    status, body = await contract_client.send(f"/api/jobs/{prompt_id}/cancel")
    if status in _NO_ROUTE:
        return
    frames = await listener.wait_for_end(prompt_id)
    if "execution_success" in {frame.kind for frame in frames}:
        contract_client.host.skip("the prompt was over before it could be cancelled")
    assert (status, json.loads(body)) == (200, {"cancelled": True})
    assert "execution_interrupted" in {frame.kind for frame in frames}


async def test_a_waiting_job_can_be_cancelled_where_there_are_jobs(
    contract_client: ContractClient, listener: EventListener, slow_graphs: SlowGraphs
) -> None:
    running = await contract_client.post(await slow_graphs.slow(contract_client, listener))
    pending = await contract_client.post(saved())
    await listener.wait_for("executing", running)
    await contract_client.expect_pending(pending)

    status, body = await contract_client.send(f"/api/jobs/{pending}/cancel")
    if status in _NO_ROUTE:
        return
    left = await contract_client.on_host()
    assert (status, json.loads(body)) == (200, {"cancelled": True})
    assert pending not in left
    assert await contract_client.entry(pending) is None


async def test_a_job_that_is_not_there_is_not_cancelled(contract_client: ContractClient) -> None:
    status, body = await contract_client.send(f"/api/jobs/{uuid.uuid4()}/cancel")

    assert status in {200, *_NO_ROUTE}
    assert status != 200 or json.loads(body) == {"cancelled": False}
