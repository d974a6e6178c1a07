"""The worker and hosts on which others draw as well."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from structlog.testing import capture_logs

from chatflow_hook.tables import State
from imagegen.comfy.address import HostAddress
from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support import proxied_comfyui
from tests.support.comfyui_client import ComfyUIClient, connect_client, persona_graph
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory
from tests.support.prompt_execution import MS

LONG_S = 60.0
MAX_AGE_S = 8.0


@asynccontextmanager
async def others_on(host: SandboxComfyUI, count: int) -> AsyncIterator[ComfyUIClient]:
    """Somebody else who has so many prompts on a host."""
    async with connect_client(host.address) as others:
        for seed in range(count):
            await others.post(persona_graph(lora=_lora(host), seed=1000 + seed, size=(64, 64)))
        yield others


async def test_pictures_are_drawn_where_nobody_else_draws(products: ProductFactory) -> None:
    async with products.start(hosts=2, works=False) as product:
        shared, own = product.hosts
        await _restart(shared, seconds_per_picture=LONG_S)
        async with others_on(shared, 20), product.worker():
            asked = [await product.ask(dialog_id=n, chat_id=n) for n in range(1, 7)]
            pictures = [await product.hook.wait(each, timeout=PATIENCE_S) for each in asked]

    assert {picture.state for picture in pictures} == {State.DELIVERED}
    assert len(own.drawn) == 6


async def test_a_prompt_that_waits_behind_others_moves_to_a_host_that_is_free(
    products: ProductFactory,
) -> None:
    async with products.start(hosts=2, works=False, comfyui_slots_per_host=1) as product:
        shared, free = product.hosts
        await _restart(shared, seconds_per_picture=LONG_S)
        await free.kill()
        async with others_on(shared, 3), product.worker():
            request = await product.ask()
            await _until(lambda: len(shared.posted) == 4)

            await free.start()
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED
    assert len(free.drawn) == 1


async def test_a_prompt_moves_to_a_host_that_was_lost_and_answers_again(
    products: ProductFactory,
) -> None:
    # Shorter than the answer of a frozen host takes, longer than that of a busy one.
    async with products.start(hosts=2, works=False, comfyui_away_timeout=1.0) as product:
        shared, lost = product.hosts
        await _restart(shared, seconds_per_picture=LONG_S)
        lost.freeze()
        async with others_on(shared, 3), product.worker():
            request = await product.ask()
            await _until(lambda: len(shared.posted) == 4)

            lost.thaw()
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED
    assert len(lost.drawn) == 1


async def test_a_prompt_that_grows_too_old_on_its_way_to_a_free_host_leaves_that_host_free(
    products: ProductFactory,
) -> None:
    async with AsyncExitStack() as stack:
        log = stack.enter_context(capture_logs())
        product = await stack.enter_async_context(
            products.start(
                hosts=2, works=False, comfyui_slots_per_host=1, request_max_age=MAX_AGE_S
            )
        )
        shared, free = product.hosts
        await _restart(shared, seconds_per_picture=LONG_S)
        await free.kill()
        await stack.enter_async_context(others_on(shared, 3))
        is_withdrawn = asyncio.Event()

        def watch(step: str) -> bool:
            if step == "POST /queue":
                # The prompt is off the host, and its worker hears of that when it is too old.
                shared.freeze()
                is_withdrawn.set()
            return False

        address = await stack.enter_async_context(proxied_comfyui.watched(shared.address, watch))
        hosts = tuple(HostAddress.parse(each) for each in (address, free.address))
        settings = product.settings.model_copy(update={"comfyui_hosts": hosts})
        await stack.enter_async_context(replace(product, settings=settings).worker())
        late = await product.ask(dialog_id=1, chat_id=1)
        late_at = asyncio.get_running_loop().time() + MAX_AGE_S
        await _until(lambda: len(shared.posted) == 4)
        await free.start()
        async with asyncio.timeout(PATIENCE_S):
            await is_withdrawn.wait()
        await asyncio.sleep(late_at - asyncio.get_running_loop().time())
        shared.thaw()
        ended = await product.hook.wait(late, timeout=PATIENCE_S)

        picture = await product.picture(dialog_id=2, chat_id=2)

    assert "prompt moves to another host" in [line["event"] for line in log]
    assert (ended.state, ended.error_code) == (State.EXPIRED, "too_old")
    assert picture.state is State.DELIVERED
    assert len(free.drawn) == 1


async def test_a_single_shared_host_is_posted_to_once(products: ProductFactory) -> None:
    limits: dict[str, Any] = {"comfyui_queue_timeout": 100 * MS, "comfyui_look_after": 50 * MS}
    async with products.start(works=False, seconds_per_picture=300 * MS, **limits) as product:
        [host] = product.hosts
        async with others_on(host, 3) as others, product.worker():
            request = await product.ask()
            await _until(lambda: len(host.posted) == 4)
            await others.post(persona_graph(lora=_lora(host), seed=2000, size=(64, 64)))

            picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED
    assert len(host.posted) == 5


async def test_a_prompt_that_waits_until_nobody_wants_it_is_taken_off(
    products: ProductFactory,
) -> None:
    async with products.start(
        works=False, seconds_per_picture=LONG_S, request_max_age=1.5
    ) as product:
        [host] = product.hosts
        async with others_on(host, 1) as others, product.worker():
            picture = await product.picture()

            queue = await others.get("/queue")

    assert (picture.state, picture.error_code) == (State.EXPIRED, "too_old")
    assert len(queue["queue_running"]) == 1
    assert queue["queue_pending"] == []


def _lora(host: SandboxComfyUI) -> str:
    return str(host.models["loras"][0])


async def _restart(host: SandboxComfyUI, *, seconds_per_picture: float) -> None:
    await host.kill()
    host.seconds_per_picture = seconds_per_picture
    await host.start()


async def _until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_true():  # noqa: ASYNC110 (a host sets no event)
            await asyncio.sleep(20 * MS)
