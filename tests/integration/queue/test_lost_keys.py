"""Redis loses one key of a job, or all, while the job draws: it goes on, and the picture comes once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from chatflow_hook import Request
from chatflow_hook.tables import State
from tests.support import quick_recovery
from tests.support.patience import PATIENCE_S
from tests.support.paused_comfyui import StepGate
from tests.support.product import ProductFactory, RunningProduct


@asynccontextmanager
async def drawing(
    products: ProductFactory, gate: StepGate
) -> AsyncIterator[tuple[RunningProduct, Request]]:
    """Give a product whose worker draws a picture that is held at the gate."""
    async with (
        products.start(works=False, sleep=gate.sleep) as product,
        product.worker(recovery=quick_recovery.TIMES),
    ):
        request = await product.ask()
        async with asyncio.timeout(PATIENCE_S):
            await gate.moved.wait()
        yield product, request


@pytest.mark.parametrize("key", ["arq:queue", "arq:job:{id}", "arq:retry:{id}"])
async def test_the_end_of_a_job_needs_none_of_the_keys_that_its_start_needed(
    products: ProductFactory, redis_url: str, key: str
) -> None:
    """It fails if arq or we ever read one of them at the end; no code of ours puts them back here."""
    gate = StepGate()
    async with (
        drawing(products, gate) as (product, request),
        Redis.from_url(redis_url, db=3) as redis,
    ):
        assert await redis.delete(key.format(id=request.id)) == 1
        gate.release_all()

        picture = await product.hook.wait(request, timeout=PATIENCE_S)
        next_picture = await product.picture(dialog_id=2)

    assert [picture.state, next_picture.state] == [State.DELIVERED] * 2
    assert len(product.telegram.sent) == len(product.hosts[0].posted) == 2


@pytest.mark.parametrize("lost", ["arq:in-progress:*", "arq:*"], ids=["its lock", "everything"])
async def test_a_job_that_draws_takes_its_lock_anew_and_is_not_run_twice(
    products: ProductFactory, redis_url: str, lost: str
) -> None:
    gate = StepGate()
    async with (
        drawing(products, gate) as (product, request),
        Redis.from_url(redis_url, db=3) as redis,
    ):
        await redis.delete(*[key async for key in redis.scan_iter(match=lost)])
        async with asyncio.timeout(PATIENCE_S):
            while not await redis.exists(f"arq:in-progress:{request.id}"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        gate.release_all()

        picture = await product.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED
    assert len(product.telegram.sent) == len(product.hosts[0].posted) == 1
