"""The worker's own client, against the same hosts."""

import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from imagegen.comfy.capabilities import Requirements
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import PromptLost
from imagegen.comfy.prompt_job import PromptJob
from imagegen.comfy.timeouts import PromptTimeouts
from tests.contract.client import ContractClient
from tests.contract.graphs import Graph, previewed, saved
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


async def test_a_host_that_is_there_is_found_well_and_tells_what_it_has(
    client: HostClient,
) -> None:
    await client.probe()
    stock = await client.capabilities()

    assert (
        stock.missing(Requirements(model_set="", classes=frozenset({"SaveImage", "PreviewImage"})))
        == ()
    )
    assert stock.missing(Requirements(model_set="", classes=frozenset({"NoSuchNode"}))) != ()


async def test_a_prompt_that_is_not_there_counts_as_taken_off(client: HostClient) -> None:
    assert await client.cancel_prompt(str(uuid.uuid4()), within_s=30)
