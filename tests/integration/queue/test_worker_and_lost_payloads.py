"""A job whose payload Redis has lost can be enqueued again."""

import asyncio
import time
from pathlib import Path
from uuid import uuid4

from arq.connections import ArqRedis

from chatflow_hook.queue import JOB, QUEUE
from imagegen.queue import connections
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory


async def wait_until_dropped(queue: ArqRedis, job_id: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await queue.zscore(QUEUE, job_id) is None:
                return
            await asyncio.sleep(0.02)


async def test_a_job_that_lost_its_payload_can_be_rung_for_again(
    database_url: str, redis_url: str, sessions: Sessions, tmp_path: Path
) -> None:
    products = ProductFactory(database_url, redis_url, sessions, tmp_path / "images")
    async with products.start() as product:
        settings, job_id = product.settings, str(uuid4())
        queue = connections.job_queue(settings.redis, db=settings.redis_broker_db)
        await queue.zadd(QUEUE, {job_id: int(time.time() * 1000)})
        await wait_until_dropped(queue, job_id)

        job = await queue.enqueue_job(JOB, job_id, _job_id=job_id)

        assert job is not None
        await queue.aclose(close_connection_pool=True)
