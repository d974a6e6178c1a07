"""What the websocket tells, and to whom."""

import asyncio

from aiohttp import WSMsgType

from tests.contract.client import Visitor, visit
from tests.contract.graphs import previewed, saved
from tests.contract.host import Host
from tests.contract.timing import Pace
from tests.contract.websocket_listener import Ear


async def test_the_first_frame_is_a_status_with_the_client_id(visitor: Visitor) -> None:
    async with visitor.listen() as ear:
        first = await ear.next()

    assert first.kind == "status"
    assert first.facts["sid"] == visitor.client_id
    assert first.facts["status"]["exec_info"]["queue_remaining"] >= 0


async def test_a_good_run_is_told_from_its_start_to_executing_null(
    visitor: Visitor, ear: Ear
) -> None:
    prompt_id = await visitor.post(saved())
    frames = await ear.hear_end(prompt_id)

    kinds = [frame.kind for frame in frames]
    assert kinds[:2] == ["execution_start", "execution_cached"]
    assert kinds[-2:] == ["execution_success", "executing"]
    assert kinds.count("execution_success") == 1


async def test_each_node_that_runs_is_told(visitor: Visitor, ear: Ear) -> None:
    prompt_id = await visitor.post(saved())
    frames = await ear.hear_end(prompt_id)

    nodes = [frame.facts["node"] for frame in frames if frame.kind == "executing"]
    assert nodes == ["1", "2", None]


async def test_what_is_cached_is_told_also_if_it_is_nothing(visitor: Visitor, ear: Ear) -> None:
    prompt_id = await visitor.post(saved())
    cached = await ear.hear("execution_cached", prompt_id)

    assert cached.facts["nodes"] == []


async def test_progress_names_each_node_with_a_value_and_its_top(
    visitor: Visitor, ear: Ear
) -> None:
    prompt_id = await visitor.post(saved())
    frames = await ear.hear_end(prompt_id)

    told = [frame.facts["nodes"] for frame in frames if frame.kind == "progress_state"]
    assert told[-1].keys() == {"1", "2"}
    assert all(state["value"] == state["max"] > 0 for state in told[-1].values())


async def test_an_output_node_tells_its_pictures_as_the_history_does(
    visitor: Visitor, ear: Ear
) -> None:
    prompt_id = await visitor.post(saved())
    executed = await ear.hear("executed", prompt_id)
    await ear.hear_end(prompt_id)

    entry = await visitor.entry(prompt_id)
    assert executed.facts["node"] == "2"
    assert executed.facts["output"]["images"] == entry["outputs"]["2"]["images"]


async def test_the_queue_is_told_to_everybody(host: Host, ear: Ear) -> None:
    async with visit(host) as other:
        await other.post(saved())

        status = await ear.hear("status")

    assert status.facts["status"]["exec_info"]["queue_remaining"] >= 0


async def test_a_run_is_told_to_its_own_client_alone(
    host: Host, visitor: Visitor, ear: Ear
) -> None:
    async with visit(host) as other, other.listen() as other_ear:
        await other_ear.hear("status")
        foreign = await other.post(saved())
        await other_ear.hear_end(foreign)
    # All frames leave a server in one row: before the end of this one all others were sent.
    own = await visitor.post(saved())
    frames = await ear.overhear_end(own)

    heard = {frame.prompt_id for frame in frames}
    assert own in heard
    assert foreign not in heard


async def test_a_prompt_runs_without_a_socket(visitor: Visitor) -> None:
    prompt_id = await visitor.post(saved())

    entry = await visitor.entry_soon(prompt_id)
    assert entry["status"]["status_str"] == "success"


async def test_a_socket_that_comes_after_the_prompt_hears_the_rest(
    visitor: Visitor, pace: Pace
) -> None:
    async with visitor.listen() as ear:
        graph = await pace.slow(visitor, ear)

    prompt_id = await visitor.post(graph)
    async with visitor.listen() as late:
        await visitor.expect_on_host(prompt_id)
        told = await late.hear("progress_state", prompt_id)
        await visitor.take_off(prompt_id)
        frames = await late.hear_end(prompt_id)

    assert told.facts["nodes"]
    assert frames[-1].is_end_of(prompt_id)


async def test_a_socket_that_comes_after_the_end_hears_nothing_of_it(visitor: Visitor) -> None:
    over = await visitor.post(saved())
    await visitor.entry_soon(over)

    async with visitor.listen() as ear:
        following = await visitor.post(saved())
        frames = await ear.overhear_end(following)

    assert over not in {frame.prompt_id for frame in frames}


async def test_a_socket_that_comes_back_learns_where_its_prompt_is(
    visitor: Visitor, pace: Pace
) -> None:
    async with visitor.listen() as ear:
        prompt_id = await visitor.post(await pace.slow(visitor, ear))
        await ear.hear("executing", prompt_id)

    async with visitor.listen() as back:
        greeting = await back.next()
        await visitor.expect_running(prompt_id)
        place = await back.hear_place()
        following = await back.hear("executing", prompt_id)

    assert (greeting.kind, greeting.facts["sid"]) == ("status", visitor.client_id)
    assert place.facts["node"] is not None
    assert following.facts["node"] is not None


async def test_features_announced_first_are_answered(visitor: Visitor) -> None:
    features = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
    async with visitor.listen() as ear:
        await ear.say(features)
        answer = await ear.hear("feature_flags")

    assert isinstance(answer.facts, dict)
    assert answer.facts["supports_preview_metadata"] is True


async def test_a_ping_is_answered(host: Host, visitor: Visitor) -> None:
    url = host.address.websocket(visitor.client_id)
    async with (
        asyncio.timeout(host.patience_s),
        visitor.session.ws_connect(url, autoping=False) as socket,
    ):
        await socket.ping(b"there?")
        while (message := await socket.receive()).type in {WSMsgType.TEXT, WSMsgType.BINARY}:
            pass

    assert message.type is WSMsgType.PONG
    assert message.data == b"there?"


async def test_a_preview_is_told_like_a_saved_picture(visitor: Visitor, ear: Ear) -> None:
    prompt_id = await visitor.post(previewed())
    executed = await ear.hear("executed", prompt_id)

    (image,) = executed.facts["output"]["images"]
    assert image["type"] == "temp"
    assert image.keys() >= {"filename", "subfolder", "type"}
