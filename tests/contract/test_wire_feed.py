"""Which events the websocket sends, and to which clients."""

import asyncio

from aiohttp import WSMsgType

from tests.contract.client import ContractClient, connected_client
from tests.contract.graphs import previewed, saved
from tests.contract.host import Host
from tests.contract.timing import SlowGraphs
from tests.contract.websocket_listener import EventListener


async def test_the_first_frame_is_a_status_with_the_client_id(
    contract_client: ContractClient,
) -> None:
    async with contract_client.listen() as listener:
        first = await listener.next()

    assert first.kind == "status"
    assert first.data["sid"] == contract_client.client_id
    assert first.data["status"]["exec_info"]["queue_remaining"] >= 0


async def test_a_good_run_is_told_from_its_start_to_executing_null(
    contract_client: ContractClient, listener: EventListener
) -> None:
    prompt_id = await contract_client.post(saved())
    frames = await listener.wait_for_end(prompt_id)

    kinds = [frame.kind for frame in frames]
    assert kinds[:2] == ["execution_start", "execution_cached"]
    assert kinds[-2:] == ["execution_success", "executing"]
    assert kinds.count("execution_success") == 1


async def test_each_node_that_runs_is_told(
    contract_client: ContractClient, listener: EventListener
) -> None:
    prompt_id = await contract_client.post(saved())
    frames = await listener.wait_for_end(prompt_id)

    nodes = [frame.data["node"] for frame in frames if frame.kind == "executing"]
    assert nodes == ["1", "2", None]


async def test_what_is_cached_is_told_also_if_it_is_nothing(
    contract_client: ContractClient, listener: EventListener
) -> None:
    prompt_id = await contract_client.post(saved())
    cached = await listener.wait_for("execution_cached", prompt_id)

    assert cached.data["nodes"] == []


async def test_progress_names_each_node_with_a_value_and_its_top(
    contract_client: ContractClient, listener: EventListener
) -> None:
    prompt_id = await contract_client.post(saved())
    frames = await listener.wait_for_end(prompt_id)

    states = [frame.data["nodes"] for frame in frames if frame.kind == "progress_state"]
    assert states[-1].keys() == {"1", "2"}
    assert all(state["value"] == state["max"] > 0 for state in states[-1].values())


async def test_an_output_node_tells_its_pictures_as_the_history_does(
    contract_client: ContractClient, listener: EventListener
) -> None:
    prompt_id = await contract_client.post(saved())
    executed = await listener.wait_for("executed", prompt_id)
    await listener.wait_for_end(prompt_id)

    entry = await contract_client.entry(prompt_id)
    assert executed.data["node"] == "2"
    assert executed.data["output"]["images"] == entry["outputs"]["2"]["images"]


async def test_the_queue_is_told_to_everybody(host: Host, listener: EventListener) -> None:
    async with connected_client(host) as other:
        await other.post(saved())

        status = await listener.wait_for("status")

    assert status.data["status"]["exec_info"]["queue_remaining"] >= 0


async def test_a_run_is_told_to_its_own_client_alone(
    host: Host, contract_client: ContractClient, listener: EventListener
) -> None:
    async with connected_client(host) as other, other.listen() as other_listener:
        await other_listener.wait_for("status")
        foreign = await other.post(saved())
        await other_listener.wait_for_end(foreign)
    # A server sends all frames in one order: before the end of this prompt all others were sent.
    own = await contract_client.post(saved())
    frames = await listener.frames_until_end(own)

    prompt_ids = {frame.prompt_id for frame in frames}
    assert own in prompt_ids
    assert foreign not in prompt_ids


async def test_a_prompt_runs_without_a_socket(contract_client: ContractClient) -> None:
    prompt_id = await contract_client.post(saved())

    entry = await contract_client.entry_soon(prompt_id)
    assert entry["status"]["status_str"] == "success"


async def test_a_socket_that_comes_after_the_prompt_hears_the_rest(
    contract_client: ContractClient, slow_graphs: SlowGraphs
) -> None:
    async with contract_client.listen() as listener:
        graph = await slow_graphs.slow(contract_client, listener)

    prompt_id = await contract_client.post(graph)
    async with contract_client.listen() as late:
        await contract_client.expect_on_host(prompt_id)
        states = await late.wait_for("progress_state", prompt_id)
        await contract_client.cancel(prompt_id)
        frames = await late.wait_for_end(prompt_id)

    assert states.data["nodes"]
    assert frames[-1].is_end_of(prompt_id)


async def test_a_socket_that_comes_after_the_end_hears_nothing_of_it(
    contract_client: ContractClient,
) -> None:
    over = await contract_client.post(saved())
    await contract_client.entry_soon(over)

    async with contract_client.listen() as listener:
        following = await contract_client.post(saved())
        frames = await listener.frames_until_end(following)

    assert over not in {frame.prompt_id for frame in frames}


async def test_a_socket_that_comes_back_learns_where_its_prompt_is(
    contract_client: ContractClient, slow_graphs: SlowGraphs
) -> None:
    async with contract_client.listen() as listener:
        prompt_id = await contract_client.post(await slow_graphs.slow(contract_client, listener))
        await listener.wait_for("executing", prompt_id)

    async with contract_client.listen() as back:
        greeting = await back.next()
        await contract_client.expect_running(prompt_id)
        place = await back.wait_for_running_node()
        following = await back.wait_for("executing", prompt_id)

    assert (greeting.kind, greeting.data["sid"]) == ("status", contract_client.client_id)
    assert place.data["node"] is not None
    assert following.data["node"] is not None


async def test_features_announced_first_are_answered(contract_client: ContractClient) -> None:
    features = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
    async with contract_client.listen() as listener:
        await listener.send_message(features)
        answer = await listener.wait_for("feature_flags")

    assert isinstance(answer.data, dict)
    assert answer.data["supports_preview_metadata"] is True


async def test_a_ping_is_answered(host: Host, contract_client: ContractClient) -> None:
    url = host.address.websocket(contract_client.client_id)
    async with (
        asyncio.timeout(host.patience_s),
        contract_client.session.ws_connect(url, autoping=False) as socket,
    ):
        await socket.ping(b"there?")
        while (message := await socket.receive()).type in {WSMsgType.TEXT, WSMsgType.BINARY}:
            pass

    assert message.type is WSMsgType.PONG
    assert message.data == b"there?"


async def test_a_preview_is_told_like_a_saved_picture(
    contract_client: ContractClient, listener: EventListener
) -> None:
    prompt_id = await contract_client.post(previewed())
    executed = await listener.wait_for("executed", prompt_id)

    (image,) = executed.data["output"]["images"]
    assert image["type"] == "temp"
    assert image.keys() >= {"filename", "subfolder", "type"}
