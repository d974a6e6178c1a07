"""The worker and its hosts: prompts taken up, prompts removed, and slots shared by two workers."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from structlog.testing import capture_logs

from chatflow_hook.tables import ImageRequest, State
from imagegen.comfy.address import HostAddress
from imagegen.db.tables import StrayPrompt
from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.benchmarks.load.tcp_proxy import TcpProxy
from tests.support.comfyui_client import connect_client
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, required_models
from tests.support.prompt_execution import MS

LONG_S = 60.0
FROZEN_IS_NOTICED_SOON: Mapping[str, Any] = {
    "comfyui_look_after": 0.2,
    "comfyui_away_timeout": 0.3,
}


async def test_nothing_of_a_picture_is_left_on_its_host(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start() as product, connect_client(product.hosts[0].address) as client:
        await product.picture()

        assert await client.get("/history") == {}
    assert await _strays(sessions) == []


async def test_a_picture_that_was_drawn_when_the_worker_died_is_not_drawn_again(
    products: ProductFactory,
) -> None:
    async with products.start(works=False, seconds_per_picture=300 * MS) as product:
        [host] = product.hosts
        async with product.worker(is_interrupted=True):
            request = await product.ask()
            await _until(lambda: host.posted != [])

        await _until(lambda: host.drawn != [])
        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED
    assert len(host.posted) == len(host.drawn) == 1


async def test_a_prompt_that_is_drawn_while_the_next_worker_starts_is_listened_to(
    products: ProductFactory,
) -> None:
    async with products.start(works=False, seconds_per_picture=3.0) as product:
        [host] = product.hosts
        async with product.worker(is_interrupted=True):
            request = await product.ask()
            await _until(lambda: host.posted != [])

        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED
    assert len(host.posted) == len(host.drawn) == 1


async def test_a_prompt_of_a_host_that_forgot_it_is_drawn_under_a_new_number(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False, seconds_per_picture=LONG_S) as product:
        [host] = product.hosts
        async with product.worker(is_interrupted=True):
            request = await product.ask()
            await _until(lambda: host.posted != [])
        await host.kill()
        host.seconds_per_picture = 0.0
        await host.start()

        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED
    first, second = host.posted
    assert first.prompt_id != second.prompt_id
    assert await _draws(sessions) == 2
    # Listed for a while: a POST whose answer was lost may still arrive.
    assert await _strays(sessions) == [(host.address, first.prompt_id)]


async def test_a_prompt_on_a_host_out_of_reach_is_a_stray_and_another_host_draws(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(
        hosts=2, seconds_per_picture=1.0, comfyui_away_timeout=2.0
    ) as product:
        request = await product.ask()
        await _until(lambda: any(host.posted for host in product.hosts))
        dead = next(host for host in product.hosts if host.posted)
        await dead.kill()

        picture = await product.hook.wait(request, timeout=PATIENCE_S)

        assert picture.state is State.DELIVERED
        assert await _strays(sessions) == [(dead.address, dead.posted[0].prompt_id)]


async def test_prompts_on_a_frozen_host_are_taken_up_once_it_answers(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(seconds_per_picture=1.0, **FROZEN_IS_NOTICED_SOON) as product:
        [host] = product.hosts
        requests = [await product.ask(dialog_id=n, chat_id=n) for n in (1, 2)]
        await _until(lambda: len(host.posted) == 2)
        claims = await _claims(sessions)
        host.freeze()
        await _until_claimed_anew(sessions, claims)
        host.thaw()

        pictures = [await product.hook.wait(each, timeout=PATIENCE_S) for each in requests]

    assert {picture.state for picture in pictures} == {State.DELIVERED}
    assert len(host.posted) == len(host.drawn) == 2


async def test_after_an_outage_of_our_network_a_picture_is_not_drawn_on_a_host_that_was_idle(
    products: ProductFactory,
) -> None:
    is_drawn = asyncio.Event()
    async with (
        products.start(
            works=False, hosts=2, sleep=lambda _: is_drawn.wait(), **FROZEN_IS_NOTICED_SOON
        ) as product,
        AsyncExitStack() as stack,
    ):
        proxies = [
            await stack.enter_async_context(TcpProxy(host.address)) for host in product.hosts
        ]
        through_proxies = [HostAddress.parse(proxy.address) for proxy in proxies]
        settings = product.settings.model_copy(update={"comfyui_hosts": through_proxies})
        logs = stack.enter_context(capture_logs())

        def events() -> list[str]:
            return [line["event"] for line in logs]

        async with replace(product, settings=settings).worker():
            request = await product.ask()
            await _until(lambda: events().count("prompt queued") == 1)
            for proxy in proxies:
                proxy.silence()
            # The second time, for the other host, which has not been asked and is taken for well.
            await _until(lambda: events().count("using host") == 2)
            for proxy in proxies:
                proxy.resume()
            await _until(lambda: "host of the prompt answers again" in events())
            is_drawn.set()
            picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED
    assert sum(len(host.posted) for host in product.hosts) == 1


async def test_a_prompt_that_was_drawn_elsewhere_is_taken_off_a_host_as_soon_as_it_answers(
    products: ProductFactory,
) -> None:
    async with products.start(
        hosts=2, seconds_per_picture=LONG_S, **FROZEN_IS_NOTICED_SOON
    ) as product:
        request = await product.ask()
        await _until(lambda: any(host.posted for host in product.hosts))
        frozen, other = sorted(product.hosts, key=lambda host: not host.posted)
        await other.kill()
        other.seconds_per_picture = 0.0
        await other.start()
        frozen.freeze()
        picture = await product.hook.wait(request, timeout=PATIENCE_S)
        frozen.thaw()

        await _idle(frozen)

    assert picture.state is State.DELIVERED
    assert [drawn.succeeded for drawn in frozen.drawn] == [False]
    assert len(other.posted) == 1


async def test_the_prompt_of_a_cancelled_request_is_taken_off(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(seconds_per_picture=LONG_S) as product:
        [host] = product.hosts
        request = await product.ask()
        await _until(lambda: host.posted != [])
        async with sessions.begin() as session:
            await session.execute(
                update(ImageRequest)
                .where(ImageRequest.id == request.id)
                .values(state=State.CANCELLED)
            )

        await _idle(host)

    assert [drawn.succeeded for drawn in host.drawn] == [False]


async def test_the_prompt_of_a_request_that_grew_too_old_is_taken_off(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False, seconds_per_picture=LONG_S) as product:
        [host] = product.hosts
        async with product.worker(is_interrupted=True):
            request = await product.ask()
            await _until(lambda: host.posted != [])
        async with sessions.begin() as session:
            long_ago = ImageRequest.created_at - timedelta(hours=1)
            await session.execute(update(ImageRequest).values(queued_at=long_ago))

        async with product.worker():
            picture = await product.hook.wait(request, timeout=PATIENCE_S)
            await _idle(host)

    assert (picture.state, picture.error_code) == (State.EXPIRED, "too_old")
    assert len(host.posted) == 1


async def test_a_host_that_lacks_a_model_leaves_the_picture_to_another(
    products: ProductFactory,
) -> None:
    async with products.start(hosts=2) as product:
        poor, rich = product.hosts
        await poor.kill()
        poor.models = {**required_models(), "loras": []}
        await poor.start()

        pictures = [await product.picture(dialog_id=n, chat_id=n) for n in range(1, 4)]

    assert {picture.state for picture in pictures} == {State.DELIVERED}
    assert (len(poor.drawn), len(rich.drawn)) == (0, 3)


async def test_two_workers_that_share_a_host_keep_to_its_slots_together(
    products: ProductFactory,
) -> None:
    most = 0
    async with (
        products.start(seconds_per_picture=200 * MS, workers_share_hosts=True) as product,
        product.worker(),
        connect_client(product.hosts[0].address) as client,
    ):
        asked = [await product.ask(dialog_id=n, chat_id=n) for n in range(1, 9)]
        waiting = asyncio.gather(*(product.hook.wait(each, timeout=PATIENCE_S) for each in asked))
        while not waiting.done():
            queue = await client.get("/prompt")
            most = max(most, queue["exec_info"]["queue_remaining"])
            # One prompt too many would stay for as long as a drawing takes.
            await asyncio.sleep(10 * MS)
        pictures = await waiting

    assert {picture.state for picture in pictures} == {State.DELIVERED}
    assert most == 2


async def _idle(host: SandboxComfyUI) -> None:
    async with connect_client(host.address) as client, asyncio.timeout(PATIENCE_S):
        while (await client.get("/prompt"))["exec_info"]["queue_remaining"]:
            await client.wait_for_event("status")


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 (the sandbox's account is a plain list)
            await asyncio.sleep(5 * MS)


async def _strays(sessions: Sessions) -> list[tuple[str, str]]:
    async with sessions() as session:
        rows = await session.execute(select(StrayPrompt.host, StrayPrompt.prompt_id))
        return [(host, str(prompt_id)) for host, prompt_id in rows]


async def _claims(sessions: Sessions) -> set[UUID | None]:
    async with sessions() as session:
        return set((await session.execute(select(ImageRequest.claim))).scalars())


async def _until_claimed_anew(sessions: Sessions, before: set[UUID | None]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while {None, *before} & await _claims(sessions):  # noqa: ASYNC110 (only the rows show it)
            await asyncio.sleep(20 * MS)


async def _draws(sessions: Sessions) -> int:
    async with sessions() as session:
        return (await session.execute(select(ImageRequest.draw))).scalar_one()
