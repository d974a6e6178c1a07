"""A worker that finds its own running job free takes it again, and both runs end in good order."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from arq.constants import in_progress_key_prefix

from chatflow_hook.queue import QUEUE
from chatflow_hook.tables import State
from imagegen.queue import connections
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory


async def until(ready: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if ready():
                return
            await asyncio.sleep(0.02)


def ends(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what arq says of each run that has ended, of any kind."""
    return [line for line in caplog.messages if "←" in line or " ! " in line]


async def test_a_job_that_a_worker_runs_twice_ends_once_and_fails_nowhere(
    database_url: str,
    redis_url: str,
    sessions: Sessions,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "arq.worker")
    products = ProductFactory(database_url, redis_url, sessions, tmp_path / "images")
    async with products.start(seconds_per_picture=1.0) as product:
        queue = connections.job_queue(product.settings.redis, db=product.settings.redis_broker_db)
        request = await product.ask()
        await until(lambda: product.hosts[0].posted)
        # As after a pause: the lock has expired, and the score is in the past.
        await queue.delete(in_progress_key_prefix + str(request.id))
        await queue.zadd(QUEUE, {str(request.id): 1})

        picture = await product.hook.wait(request, timeout=PATIENCE_S)
        await until(lambda: len(ends(caplog)) == 2)
        await queue.aclose(close_connection_pool=True)

    assert picture.state is State.DELIVERED
    assert len(product.telegram.sent) == len(product.hosts[0].posted) == 1
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
