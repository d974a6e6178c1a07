"""The worker's own client, against the same hosts."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from imagegen.comfy.capabilities import Requirements
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostBusy, HostLacks, PromptLost
from imagegen.comfy.http import HostHTTP
from imagegen.comfy.prompt_job import PromptJob
from imagegen.comfy.reference_pictures import ReferencePicture, ensure_on_host
from imagegen.comfy.timeouts import PromptTimeouts
from tests.contract.client import ContractClient
from tests.contract.graphs import Graph, previewed, saved, slow
from tests.contract.host import Host

_PNG = b"\x89PNG"


@pytest.fixture
async def client(host: Host) -> AsyncIterator[HostClient]:
    patience = host.patience_s
    limits = PromptTimeouts(request_s=30, queue_s=patience, drawing_s=patience, silence_s=patience)
    async with HostClient(host.address, limits=limits, headers=host.headers) as client:
        yield client


def _prompt_of(contract_client: ContractClient) -> str:
    """Give an id that the visitor takes off the host in the end."""
    contract_client.posted.append(str(uuid.uuid4()))
    return contract_client.posted[-1]


@pytest.mark.parametrize("graph", [saved, previewed])
async def test_a_picture_is_drawn_fetched_and_forgotten(
    client: HostClient, contract_client: ContractClient, graph: Callable[[], Graph]
) -> None:
    shares: list[float] = []
    job = PromptJob(
        graph=graph(), prompt_id=_prompt_of(contract_client), node="2", on_progress=shares.append
    )

    drawn = await client.execution(job).run()
    picture = await client.fetch(drawn.images[0])
    await client.delete_history(job.prompt_id)

    assert picture.startswith(_PNG)
    assert shares[-1] == 1
    assert await contract_client.entry(job.prompt_id) is None


async def test_a_prompt_that_is_over_is_taken_up_again(
    client: HostClient, contract_client: ContractClient
) -> None:
    job = PromptJob(graph=saved(), prompt_id=_prompt_of(contract_client), node="2")
    drawn = await client.execution(job).run()

    taken_up = await client.execution(job).resume()

    assert taken_up.images == drawn.images


async def test_a_prompt_that_the_host_never_had_is_lost(client: HostClient) -> None:
    job = PromptJob(graph=saved(), prompt_id=str(uuid.uuid4()), node="2")

    with pytest.raises(PromptLost):
        await client.execution(job).resume()


async def test_a_reference_picture_is_uploaded_once_and_loaded(
    host: Host, client: HostClient, contract_client: ContractClient
) -> None:
    # Cut off by hand, as after a full disk, and then uploaded whole.
    job = PromptJob(graph=previewed(), prompt_id=_prompt_of(contract_client), node="2")
    data = await client.fetch((await client.execution(job).run()).images[0])
    picture = ReferencePicture(filename=f"{hashlib.sha256(data).hexdigest()[:32]}.png", data=data)
    async with HostHTTP(host.address, headers=host.headers, request_timeout=30) as http:
        query = {"filename": picture.filename, "subfolder": "chatflow", "type": "input"}
        for cut in (data[:50], data[:60]):
            fields = {"subfolder": "chatflow", "type": "input", "overwrite": "true"}
            await http.upload("/upload/image", picture.filename, cut, **fields)
            assert await http.size_of("/view", **query) == len(cut)

        await ensure_on_host(http, picture)
        await ensure_on_host(http, picture)

        assert await http.size_of("/view", **query) == len(data)
        assert await http.size_of("/view", **query | {"filename": "no-such.png"}) is None
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": picture.input_value}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    job = PromptJob(graph=graph, prompt_id=_prompt_of(contract_client), node="2")
    assert (await client.fetch((await client.execution(job).run()).images[0])).startswith(_PNG)


async def test_a_picture_that_the_host_lacks_is_told_at_once(client: HostClient) -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "nosuch.png"}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    job = PromptJob(graph=graph, prompt_id=str(uuid.uuid4()), node="2")

    with pytest.raises(HostLacks, match=r"nosuch\.png, which this host does not have"):
        await client.execution(job).run()


async def test_a_prompt_that_waits_knows_its_place_and_is_withdrawn(
    client: HostClient, contract_client: ContractClient
) -> None:
    first = await contract_client.post(slow(12, 4096))
    job = PromptJob(graph=previewed(), prompt_id=_prompt_of(contract_client), node="2")
    execution = client.execution(job)
    task = asyncio.create_task(execution.run(), name="waits")
    await contract_client.expect_running(first)
    async with asyncio.timeout(10):
        while (ahead := await execution.ahead()) is None and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    is_withdrawn = not task.done() and await execution.withdraw(HostBusy("it waits"))

    if not is_withdrawn:
        contract_client.host.skip("the prompt was over too soon to see anything")
    assert ahead is not None
    assert ahead >= 1
    with pytest.raises(HostBusy):
        await task
    assert job.prompt_id not in await contract_client.on_host()


async def test_a_host_that_is_there_is_found_well_and_tells_what_it_has(
    client: HostClient,
) -> None:
    assert await client.probe() is not None
    stock = await client.capabilities()

    assert (
        stock.missing(Requirements(model_set="", classes=frozenset({"SaveImage", "PreviewImage"})))
        == ()
    )
    assert stock.missing(Requirements(model_set="", classes=frozenset({"NoSuchNode"}))) != ()


async def test_a_prompt_that_is_not_there_counts_as_taken_off(client: HostClient) -> None:
    assert await client.cancel_prompt(str(uuid.uuid4()), within_s=30)
