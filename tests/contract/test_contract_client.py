"""The worker's own client, against the same hosts."""

import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from imagegen.comfy.capabilities import Requirements
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import PromptLost
from imagegen.comfy.prompt import PromptJob
from imagegen.comfy.timeouts import PromptTimeouts
from tests.contract.client import ContractClient
from tests.contract.graphs import Graph, previewed, saved
from tests.contract.host import Host

_PNG = b"\x89PNG"


@pytest.fixture
async def client(host: Host) -> AsyncIterator[HostClient]:
    patience = host.patience_s
    limits = PromptTimeouts(request=30, queue=patience, drawing=patience, silence=patience)
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
    hosts_to_test = PromptJob(
        graph=graph(), prompt_id=_prompt_of(contract_client), node="2", on_progress=shares.append
    )

    drawn = await client.execution(hosts_to_test).run()
    picture = await client.fetch(drawn.pictures[0])
    await client.delete_history(hosts_to_test.prompt_id)

    assert picture.startswith(_PNG)
    assert shares[-1] == 1
    assert await contract_client.entry(hosts_to_test.prompt_id) is None


async def test_a_prompt_that_is_over_is_taken_up_again(
    client: HostClient, contract_client: ContractClient
) -> None:
    hosts_to_test = PromptJob(graph=saved(), prompt_id=_prompt_of(contract_client), node="2")
    drawn = await client.execution(hosts_to_test).run()

    taken_up = await client.execution(hosts_to_test).resume()

    assert taken_up.pictures == drawn.pictures


async def test_a_prompt_that_the_host_never_had_is_lost(client: HostClient) -> None:
    hosts_to_test = PromptJob(graph=saved(), prompt_id=str(uuid.uuid4()), node="2")

    with pytest.raises(PromptLost):
        await client.execution(hosts_to_test).resume()


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
