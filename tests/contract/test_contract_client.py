"""The worker's own client, against the same hosts."""

import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from imagegen.comfy.capabilities import Requirements
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import PromptLost
from imagegen.comfy.prompt import PromptJob
from imagegen.comfy.timeouts import PromptTimeouts
from tests.contract.client import Visitor
from tests.contract.graphs import Graph, previewed, saved
from tests.contract.host import Host

_PNG = b"\x89PNG"


@pytest.fixture
async def client(host: Host) -> AsyncIterator[HostClient]:
    patience = host.patience_s
    limits = PromptTimeouts(request=30, queue=patience, drawing=patience, silence=patience)
    async with HostClient(host.address, limits=limits, headers=host.headers) as client:
        yield client


def _prompt_of(visitor: Visitor) -> str:
    """Give an id that the visitor takes off the host in the end."""
    visitor.posted.append(str(uuid.uuid4()))
    return visitor.posted[-1]


@pytest.mark.parametrize("graph", [saved, previewed])
async def test_a_picture_is_drawn_fetched_and_forgotten(
    client: HostClient, visitor: Visitor, graph: Callable[[], Graph]
) -> None:
    shares: list[float] = []
    wanted = PromptJob(
        graph=graph(), prompt_id=_prompt_of(visitor), node="2", on_progress=shares.append
    )

    drawn = await client.execution(wanted).run()
    picture = await client.fetch(drawn.images[0])
    await client.delete_history(wanted.prompt_id)

    assert picture.startswith(_PNG)
    assert shares[-1] == 1
    assert await visitor.entry(wanted.prompt_id) is None


async def test_a_prompt_that_is_over_is_taken_up_again(
    client: HostClient, visitor: Visitor
) -> None:
    wanted = PromptJob(graph=saved(), prompt_id=_prompt_of(visitor), node="2")
    drawn = await client.execution(wanted).run()

    taken_up = await client.execution(wanted).resume()

    assert taken_up.images == drawn.images


async def test_a_prompt_that_the_host_never_had_is_lost(client: HostClient) -> None:
    wanted = PromptJob(graph=saved(), prompt_id=str(uuid.uuid4()), node="2")

    with pytest.raises(PromptLost):
        await client.execution(wanted).resume()


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
