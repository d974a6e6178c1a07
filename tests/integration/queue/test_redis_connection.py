"""The worker's connections to Redis: they cost no task, and notice what redis-py's own notice."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from imagegen.queue import connections
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.support.conversations import hook_settings
from tests.support.patience import PATIENCE_S


async def test_a_command_on_an_open_connection_starts_no_task(redis_url: str) -> None:
    place = hook_settings("postgresql://unused/db", redis_url).redis
    started = list[str]()

    def count(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
        started.append(str(work))
        return asyncio.Task(work, loop=loop, **more)

    async with (
        connections.job_queue(place, db=3) as queue,
        connections.result_connection(place, db=4) as results,
    ):
        await queue.ping()
        await results.ping()
        asyncio.get_running_loop().set_task_factory(count)
        try:
            await queue.set("a", "1")
            assert await queue.get("a") == b"1"
            await results.ping()
            async with queue.pipeline(transaction=True) as pipe:
                pipe.get("a")
                assert await pipe.execute() == [b"1"]
        finally:
            asyncio.get_running_loop().set_task_factory(None)

    assert started == []


async def test_a_connection_that_was_closed_while_it_was_idle_is_opened_again(
    redis_url: str,
) -> None:
    place = hook_settings("postgresql://unused/db", redis_url).redis
    async with (
        Redis.from_url(redis_url) as admin,
        connections.result_connection(place, db=4) as results,
    ):
        own_id = await results.client_id()
        await admin.client_kill_filter(_id=str(own_id))
        while any(each["id"] == str(own_id) for each in await admin.client_list()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)  # the loop sees that the stream has ended

        assert await results.client_id() != own_id, "and no command fails, though none is repeated"


async def test_an_answer_that_nobody_has_read_is_not_taken_for_that_of_the_next_command(
    redis_url: str,
) -> None:
    place = hook_settings("postgresql://unused/db", redis_url).redis
    async with connections.result_connection(place, db=4) as results:
        pool: Any = results.connection_pool  # the types of redis-py name an argument it ignores
        connection = await pool.get_connection()
        both = connection.pack_commands([("ECHO", "old"), ("ECHO", "older")])
        await connection.send_packed_command(both)
        assert await connection.read_response() == b"old"
        await pool.release(connection)

        assert await results.echo("new") == b"new"


async def test_a_redis_that_takes_nothing_does_not_hold_up_a_command_for_ever() -> None:
    with ValkeyServer() as valkey:
        place = hook_settings("postgresql://unused/db", valkey.url).redis
        async with connections.result_connection(place, db=4) as results:
            await results.ping()
            valkey.freeze()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    for _ in range(2):
                        with pytest.raises(TimeoutError):
                            await _with_redis_errors(results.set("a", bytes(8_000_000)))
            finally:
                valkey.thaw()


async def _with_redis_errors(command: Any) -> None:
    try:
        await command
    except Exception as error:
        raise TimeoutError from error
