"""Redis loses one key of a job while the job runs: the picture comes once, and the queue is whole."""

import asyncio

import pytest
from redis.asyncio import Redis

from chatflow_hook.tables import State
from tests.support import quick_recovery
from tests.support.paused_comfyui import StepGate
from tests.support.product import PATIENCE_S, ProductFactory


@pytest.mark.parametrize(
    "key", ["arq:queue", "arq:job:{id}", "arq:in-progress:{id}", "arq:retry:{id}"]
)
async def test_a_key_that_is_evicted_while_its_job_draws_costs_nothing(
    products: ProductFactory, redis_url: str, key: str
) -> None:
    gate = StepGate()
    async with (
        products.start(works=False, sleep=gate.sleep) as product,
        product.worker(recovery=quick_recovery.TIMES),
        Redis.from_url(redis_url, db=3) as redis,
    ):
        request = await product.ask()
        async with asyncio.timeout(PATIENCE_S):
            while not product.hosts[0].posted:  # noqa: ASYNC110 (the host gives no event)
                await asyncio.sleep(0.01)
        await redis.delete(key.format(id=request.id))
        gate.release_all()

        picture = await product.hook.wait(request, timeout=PATIENCE_S)
        next_picture = await product.picture(dialog_id=2)

    assert [picture.state, next_picture.state] == [State.DELIVERED] * 2
    assert len(product.telegram.sent) == len(product.hosts[0].posted) == 2
