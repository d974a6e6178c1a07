"""When a host draws again, and what it answers from its cache."""

import copy

from tests.contract.client import Visitor
from tests.contract.graphs import Graph, fresh_prefix, previewed, saved
from tests.contract.websocket_listener import Ear, Frame

# Others' prompts in between empty the cache.
_TRIES = 5


async def _second_of(visitor: Visitor, ear: Ear, first: Graph, second: Graph) -> list[Frame]:
    """Draw two graphs one after the other until nobody comes between; give the second's frames."""
    for _ in range(_TRIES):
        # What a client adds is not part of what is compared.
        before = await visitor.post(first, extra_data={"chatflow_imagegen": "first"})
        after = await visitor.post(second, extra_data={"chatflow_imagegen": "second"})
        await ear.hear_end(before)
        frames = await ear.hear_end(after)
        if "1" in _cached(frames):
            return frames
    return visitor.host.give_up("it keeps nothing in its cache, or others always come between")


def _cached(frames: list[Frame]) -> set[str]:
    (told,) = [frame for frame in frames if frame.kind == "execution_cached"]
    return set(told.facts["nodes"])


async def _filename(visitor: Visitor, prompt_id: str) -> str:
    entry = await visitor.entry(prompt_id)
    return str(entry["outputs"]["2"]["images"][0]["filename"])


async def test_an_equal_graph_is_answered_with_the_old_picture(visitor: Visitor, ear: Ear) -> None:
    graph = saved()

    frames = await _second_of(visitor, ear, graph, copy.deepcopy(graph))
    (executed,) = [frame for frame in frames if frame.kind == "executed"]
    first, second = visitor.posted[-2:]
    filename = await _filename(visitor, second)
    assert _cached(frames) == {"1", "2"}
    assert "execution_success" in {frame.kind for frame in frames}
    assert executed.facts["output"]["images"][0]["filename"] == filename
    assert filename == await _filename(visitor, first)


async def test_other_node_ids_are_still_the_same_graph(visitor: Visitor, ear: Ear) -> None:
    graph = previewed()
    renamed = {"1": graph["1"], "5": graph["2"]}

    frames = await _second_of(visitor, ear, graph, renamed)
    assert _cached(frames) == {"1", "5"}


async def test_another_prefix_saves_again(visitor: Visitor, ear: Ear) -> None:
    graph = saved()
    again = saved(graph["1"])

    frames = await _second_of(visitor, ear, graph, again)
    first, second = visitor.posted[-2:]
    assert _cached(frames) == {"1"}
    assert await _filename(visitor, first) != await _filename(visitor, second)


async def test_another_prefix_previews_again_although_a_preview_has_none(
    visitor: Visitor, ear: Ear
) -> None:
    graph = previewed(filename_prefix=fresh_prefix())
    again = previewed(graph["1"], filename_prefix=fresh_prefix())

    frames = await _second_of(visitor, ear, graph, again)
    first, second = visitor.posted[-2:]
    assert _cached(frames) == {"1"}
    assert "2" in [frame.facts["node"] for frame in frames if frame.kind == "executing"]
    assert await _filename(visitor, first) != await _filename(visitor, second)
