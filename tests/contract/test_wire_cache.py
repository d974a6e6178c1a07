"""When a host draws again, and what it answers from its cache."""

import copy

from tests.contract.client import ContractClient
from tests.contract.graphs import Graph, fresh_prefix, previewed, saved
from tests.contract.websocket_listener import EventListener, Frame

# Prompts of other users in between empty the cache.
_TRIES = 5


async def _second_of(
    contract_client: ContractClient, listener: EventListener, first: Graph, second: Graph
) -> list[Frame]:
    """Draw two graphs one after the other until nobody comes between; give the second's frames."""
    for _ in range(_TRIES):
        # What a client adds is not part of what is compared.
        before = await contract_client.post(first, extra_data={"chatflow_imagegen": "first"})
        after = await contract_client.post(second, extra_data={"chatflow_imagegen": "second"})
        await listener.wait_for_end(before)
        frames = await listener.wait_for_end(after)
        if "1" in _cached(frames):
            return frames
    return contract_client.host.skip("it keeps nothing in its cache, or others always come between")


def _cached(frames: list[Frame]) -> set[str]:
    (states,) = [frame for frame in frames if frame.kind == "execution_cached"]
    return set(states.data["nodes"])


async def _filename(contract_client: ContractClient, prompt_id: str) -> str:
    entry = await contract_client.entry(prompt_id)
    return str(entry["outputs"]["2"]["images"][0]["filename"])


async def test_an_equal_graph_is_answered_with_the_old_picture(
    contract_client: ContractClient, listener: EventListener
) -> None:
    graph = saved()

    frames = await _second_of(contract_client, listener, graph, copy.deepcopy(graph))
    (executed,) = [frame for frame in frames if frame.kind == "executed"]
    first, second = contract_client.posted[-2:]
    filename = await _filename(contract_client, second)
    assert _cached(frames) == {"1", "2"}
    assert "execution_success" in {frame.kind for frame in frames}
    assert executed.data["output"]["images"][0]["filename"] == filename
    assert filename == await _filename(contract_client, first)


async def test_other_node_ids_are_still_the_same_graph(
    contract_client: ContractClient, listener: EventListener
) -> None:
    graph = previewed()
    renamed = {"1": graph["1"], "5": graph["2"]}

    frames = await _second_of(contract_client, listener, graph, renamed)
    assert _cached(frames) == {"1", "5"}


async def test_another_prefix_saves_again(
    contract_client: ContractClient, listener: EventListener
) -> None:
    graph = saved()
    again = saved(graph["1"])

    frames = await _second_of(contract_client, listener, graph, again)
    first, second = contract_client.posted[-2:]
    assert _cached(frames) == {"1"}
    assert await _filename(contract_client, first) != await _filename(contract_client, second)


async def test_another_prefix_previews_again_although_a_preview_has_none(
    contract_client: ContractClient, listener: EventListener
) -> None:
    graph = previewed(filename_prefix=fresh_prefix())
    again = previewed(graph["1"], filename_prefix=fresh_prefix())

    frames = await _second_of(contract_client, listener, graph, again)
    first, second = contract_client.posted[-2:]
    assert _cached(frames) == {"1"}
    assert "2" in [frame.data["node"] for frame in frames if frame.kind == "executing"]
    assert await _filename(contract_client, first) != await _filename(contract_client, second)
