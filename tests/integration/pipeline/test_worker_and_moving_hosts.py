"""A running worker obeys what operators say of hosts, and loses no picture over it."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from chatflow_hook.tables import State
from imagegen.comfy.address import HostAddress
from imagegen.pool.host_orders import HostOrders
from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support.comfyui_client import connect_client
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, required_models

LONG_S = 60.0


@pytest.fixture
def orders(engine: AsyncEngine) -> HostOrders:
    return HostOrders(engine)


async def test_a_drained_host_ends_its_picture_and_an_added_one_draws_the_next(
    products: ProductFactory, orders: HostOrders
) -> None:
    may_end = asyncio.Event()
    async with (
        products.start(sleep=lambda _: may_end.wait(), seconds_per_picture=1.0) as product,
        SandboxComfyUI(models=required_models()) as added,
    ):
        [drained] = product.hosts
        first = await product.ask(dialog_id=1, chat_id=1)
        await _until(lambda: len(drained.posted) == 1)
        with capture_logs() as log:
            await orders.drain(drained.address)
            await orders.add(HostAddress.parse(added.address))
            await _until(lambda: "use of a host changed" in [line["event"] for line in log])

        second = await product.ask(dialog_id=2, chat_id=2)
        pictures = [await product.hook.wait(second, timeout=PATIENCE_S)]
        may_end.set()
        pictures.append(await product.hook.wait(first, timeout=PATIENCE_S))

    assert {picture.state for picture in pictures} == {State.DELIVERED}
    assert len(drained.posted) == len(drained.drawn) == 1


async def test_what_runs_on_a_host_that_is_removed_now_is_cancelled_and_drawn_elsewhere(
    products: ProductFactory, orders: HostOrders
) -> None:
    async with (
        products.start(seconds_per_picture=LONG_S) as product,
        SandboxComfyUI(models=required_models()) as other,
        connect_client(product.hosts[0].address) as client,
    ):
        [removed] = product.hosts
        request = await product.ask()
        await _until(lambda: removed.posted != [])
        await orders.remove(removed.address, gives_up=True)
        await orders.add(HostAddress.parse(other.address))

        picture = await product.hook.wait(request, timeout=PATIENCE_S)
        queue = await client.get("/prompt")

    assert picture.state is State.DELIVERED
    assert [drawn.succeeded for drawn in removed.drawn] == [False]
    assert queue["exec_info"]["queue_remaining"] == 0
    assert len(other.drawn) == 1


async def test_a_prompt_of_a_dead_worker_is_followed_on_a_host_that_is_removed(
    products: ProductFactory, orders: HostOrders
) -> None:
    may_end = asyncio.Event()
    async with products.start(
        works=False, hosts=2, sleep=lambda _: may_end.wait(), seconds_per_picture=1.0
    ) as product:
        async with product.worker(is_interrupted=True):
            request = await product.ask()
            await _until(lambda: any(host.posted for host in product.hosts))
        removed, other = sorted(product.hosts, key=lambda host: not host.posted)
        await orders.remove(removed.address, gives_up=False)
        may_end.set()

        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED
    assert sum(len(host.posted) for host in (removed, other)) == 1


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 (the sandbox's account is a plain list)
            await asyncio.sleep(0.005)
