"""The sandbox ComfyUI's faults of the websocket, and of the whole host, as a client meets them."""

import asyncio

import pytest
from aiohttp import (
    ClientConnectionError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    WSMsgType,
)

from imagegen.sandbox.comfyui import Fault, FaultKind, SandboxComfyUI
from tests.support.comfyui_client import (
    MODELS,
    ComfyUIClient,
    connect_client,
    graph_without_model,
    persona_graph,
)
from tests.support.patience import PATIENCE_S

MS = 0.001
LONG_S, LONG_STEPS = 60.0, 6000
MIB = 2**20


def scripted(*faults: Fault, seconds_per_picture: float = 0.0) -> SandboxComfyUI:
    host = SandboxComfyUI(models=MODELS, seconds_per_picture=seconds_per_picture, seed=1)
    host.script(*faults)
    return host


async def heard(client: ComfyUIClient) -> list[str]:
    """Read the socket until it breaks, and give the events on the way."""
    events = []
    async for message in client.socket:
        assert message.type is WSMsgType.TEXT
        events.append(message.json()["type"])
    return events


async def has_ended(client: ComfyUIClient, prompt_id: str) -> None:
    """Ask the history until it has the prompt."""
    async with asyncio.timeout(PATIENCE_S):
        while prompt_id not in await client.get(f"/history/{prompt_id}"):
            pass


@pytest.mark.parametrize("event", ["execution_start", "executing", "executed", "progress_state"])
async def test_a_socket_drops_before_the_event_and_the_prompt_goes_on(event: str) -> None:
    fault = Fault(kind=FaultKind.DROP, at=event)
    async with scripted(fault) as host, connect_client(host.address) as client:
        prompt_id = await client.post(graph_without_model(1))

        events = await heard(client)

        assert event not in events
        assert client.socket.close_code == 1006
        assert (await host.happened(fault)).prompt_id == prompt_id
        await has_ended(client, prompt_id)


async def test_a_socket_drops_after_the_event_if_it_is_sent() -> None:
    fault = Fault(kind=FaultKind.DROP, at="execution_success", sent=True)
    async with scripted(fault) as host, connect_client(host.address) as client:
        await client.post(graph_without_model(1))

        assert (await heard(client))[-1] == "execution_success"
        assert client.socket.close_code == 1006


async def test_the_last_frame_of_a_prompt_can_be_lost() -> None:
    async with (
        scripted(Fault(kind=FaultKind.DROP, at="over")) as host,
        connect_client(host.address) as client,
    ):
        await client.post(graph_without_model(1))

        events = await heard(client)

        assert events[-2:] == ["execution_success", "status"]


async def test_occasions_pass_before_a_fault_and_after_its_times() -> None:
    fault = Fault(kind=FaultKind.DROP, at="execution_start", after=1, times=1)
    async with scripted(fault) as host:
        async with connect_client(host.address) as client:
            await client.wait_for_end(await client.post(graph_without_model(1)))
            await client.post(graph_without_model(2))
            await heard(client)
        async with connect_client(host.address) as client:
            await client.wait_for_end(await client.post(graph_without_model(3)))

        assert [trouble.fault for trouble in host.troubles] == [fault]


async def test_chance_is_repeatable_by_seed() -> None:
    async def struck() -> list[bool]:
        fault = Fault(kind=FaultKind.UNAVAILABLE, chance=0.5, times=None)
        async with scripted(fault) as host, ClientSession(f"http://{host.address}") as session:
            answers = [await session.get("/prompt") for _ in range(20)]
            return [answer.status == 503 for answer in answers]

    first = await struck()

    assert 4 < sum(first) < 16
    assert await struck() == first


async def test_a_reconnected_socket_stays_open_and_deaf() -> None:
    fault = Fault(kind=FaultKind.DEAF)
    async with scripted(fault) as host:
        async with connect_client(host.address, "me") as client:
            await client.wait_for_end(await client.post(graph_without_model(1)))
        async with connect_client(host.address, "me") as client:
            await client.wait_for_event("status")
            prompt_id = await client.post(graph_without_model(2))
            await has_ended(client, prompt_id)
            await client.socket.ping()

            with pytest.raises(TimeoutError):
                await client.socket.receive(timeout=50 * MS)
            assert not client.socket.closed


async def test_a_socket_goes_deaf_at_an_event() -> None:
    fault = Fault(kind=FaultKind.DEAF, at="executed")
    async with scripted(fault) as host, connect_client(host.address) as client:
        prompt_id = await client.post(graph_without_model(1))
        await has_ended(client, prompt_id)

        assert await all_there_is(client) == [
            *("status", "status", "status", "execution_start", "execution_cached"),
            *("progress_state", "executing", "progress_state", "progress_state", "executing"),
        ]


async def all_there_is(client: ComfyUIClient) -> list[str]:
    events = []
    try:
        while True:
            events.append((await client.socket.receive_json(timeout=50 * MS))["type"])
    except TimeoutError:
        return events


@pytest.mark.parametrize("how", ["text", "binary"])
async def test_a_frame_can_be_huge(how: str) -> None:
    fault = Fault(kind=FaultKind.HUGE_FRAME, at="executing", how=how)
    async with (
        scripted(fault) as host,
        ClientSession(f"http://{host.address}") as session,
        session.ws_connect("/ws?clientId=me", max_msg_size=0) as socket,
    ):
        await ComfyUIClient(session, socket, "me").post(graph_without_model(1))

        assert await has_a_huge_one(socket)


async def has_a_huge_one(socket: ClientWebSocketResponse) -> bool:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if len((await socket.receive()).data) > 32 * MIB:
                return True


async def test_a_client_with_a_limit_is_cut_off_by_a_huge_frame() -> None:
    fault = Fault(kind=FaultKind.HUGE_FRAME, at="execution_start", size=5 * MIB)
    async with scripted(fault) as host, connect_client(host.address) as client:
        await client.post(graph_without_model(1))

        async for message in client.socket:
            said = message
        assert said.type is WSMsgType.ERROR
        assert client.socket.close_code == 1009


async def test_a_host_dies_at_an_event_and_comes_back_empty() -> None:
    fault = Fault(kind=FaultKind.RESTART, at="progress", seconds=100 * MS)
    async with scripted(fault, seconds_per_picture=LONG_S) as host:
        async with connect_client(host.address) as client:
            prompt_id = await client.post(persona_graph(steps=LONG_STEPS))
            events = await heard(client)
            assert "progress" not in events
            with pytest.raises(ClientConnectionError):
                await client.get("/prompt")

        async with asyncio.timeout(PATIENCE_S):
            await host.came_back()
        async with connect_client(host.address) as client:
            assert await client.get(f"/history/{prompt_id}") == {}
            assert await client.get("/prompt") == {"exec_info": {"queue_remaining": 0}}


async def test_a_host_dies_every_now_and_then() -> None:
    fault = Fault(kind=FaultKind.RESTART, every=30 * MS, seconds=10 * MS, times=3)
    async with scripted(fault) as host:
        async with asyncio.timeout(PATIENCE_S):
            await host.happened(fault, times=3)

    deaths = [outage for outage in host.account.outages if outage.kind == "dead"]
    assert len(deaths) == 3


async def test_a_host_that_is_killed_stays_dead_whatever_the_script_says() -> None:
    fault = Fault(kind=FaultKind.RESTART, at="accepted", seconds=50 * MS)
    async with scripted(fault) as host, connect_client(host.address) as client:
        with pytest.raises(ClientConnectionError):
            await client.post(graph_without_model(1))
        await host.kill()

        await asyncio.sleep(100 * MS)
        with pytest.raises(ClientConnectionError):
            await client.get("/prompt")


async def test_a_frozen_host_takes_connections_and_says_nothing_until_it_is_thawed() -> None:
    async with scripted() as host, connect_client(host.address) as client:
        host.freeze()

        for path in ("/prompt", "/ws", "/view?filename=x.png"):
            with pytest.raises(TimeoutError):
                await client.session.get(path, timeout=ClientTimeout(total=50 * MS))

        host.thaw()
        assert await client.get("/prompt") == {"exec_info": {"queue_remaining": 0}}
        await client.wait_for_end(await client.post(graph_without_model(1)))


async def test_a_frozen_host_answers_no_ping_and_keeps_the_socket_open() -> None:
    async with (
        scripted() as host,
        ClientSession(f"http://{host.address}") as session,
        session.ws_connect("/ws", autoping=False) as socket,
    ):
        await socket.receive(timeout=10)
        host.freeze()
        await socket.ping()

        with pytest.raises(TimeoutError):
            await socket.receive(timeout=50 * MS)

        host.thaw()
        assert (await socket.receive(timeout=10)).type is WSMsgType.PONG


async def test_a_prompt_stands_still_with_its_frozen_host_and_goes_on_to_success() -> None:
    fault = Fault(kind=FaultKind.FREEZE, at="progress", sent=True)
    async with scripted(fault) as host, connect_client(host.address) as client:
        prompt_id = await client.post(persona_graph())
        await client.wait_for_event("progress")
        await host.happened(fault)
        with pytest.raises(TimeoutError):
            await client.socket.receive(timeout=50 * MS)

        host.thaw()

        assert "execution_success" in await client.wait_for_end(prompt_id)


async def test_a_freeze_ends_by_itself_after_its_seconds() -> None:
    fault = Fault(kind=FaultKind.FREEZE, at="accepted", seconds=50 * MS)
    async with scripted(fault) as host, connect_client(host.address) as client:
        prompt_id = await client.post(graph_without_model(1))

        assert "execution_success" in await client.wait_for_end(prompt_id)
        frozen = host.account.outages[-1]
    assert frozen.kind == "frozen"
    assert frozen.ended is not None
    assert frozen.ended - frozen.began >= 50 * MS


async def test_a_frozen_host_can_be_killed() -> None:
    async with scripted() as host, connect_client(host.address) as client:
        host.freeze()
        waiting = asyncio.create_task(client.send("/prompt", {"prompt": graph_without_model(1)}))

        await host.kill()

        with pytest.raises(ClientConnectionError):
            await waiting
        assert host.posted == []
