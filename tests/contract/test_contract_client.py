"""The worker's own client, against the same hosts."""

import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from imagegen.comfy.client import HostClient
from imagegen.comfy.patience import Limits
from tests.contract.graphs import Graph, previewed, saved
from tests.contract.host import Host
from tests.contract.visitor import Visitor
from tests.drawing import unheeded

_PNG = b"\x89PNG"


@pytest.fixture
async def client(host: Host) -> AsyncIterator[HostClient]:
    patience = host.patience_s
    limits = Limits(request=30, queue=patience, drawing=patience, silence=patience)
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
    prompt_id = _prompt_of(visitor)

    await client.draw(graph(), prompt_id, on_progress=unheeded)
    (file,) = await client.pictures(prompt_id, "2")
    picture = await client.fetch(file)
    await client.forget(prompt_id)
    assert picture.startswith(_PNG)
    assert await visitor.entry(prompt_id) is None


async def test_a_host_that_is_there_is_found_well(client: HostClient) -> None:
    await client.probe()


async def test_a_prompt_that_is_not_there_can_be_cancelled(client: HostClient) -> None:
    await client.cancel(str(uuid.uuid4()))
