"""The hook's connections to Redis close without an error, however busy the bot's event loop is."""

import asyncio
import time
import uuid

from redis.asyncio.connection import parse_url

from chatflow_hook.queue import QueueClient
from chatflow_hook.settings import RedisPlace

# Longer than redis-py gives a connection to close.
BUSY_S = 0.6


async def test_a_busy_event_loop_is_no_error_of_who_has_stopped_to_wait(redis_url: str) -> None:
    place = RedisPlace(arguments=dict(parse_url(redis_url)))
    client = QueueClient(place, broker_db=3, result_db=4)
    is_over = asyncio.Event()

    async def listen() -> None:
        async with client.listen_for_end(uuid.uuid4()):
            await is_over.wait()

    async def be_busy() -> None:
        await is_over.wait()
        time.sleep(BUSY_S)  # noqa: ASYNC251 (the loop is to be held up)

    async with asyncio.TaskGroup() as group:
        group.create_task(listen())
        await asyncio.sleep(0.1)
        group.create_task(be_busy())
        await asyncio.sleep(0)
        is_over.set()
    await client.close()
