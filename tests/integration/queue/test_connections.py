"""The Redis connections of the worker when a connection breaks or the server is frozen."""

import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import WatchError

from imagegen.queue import connections
from imagegen.queue.connections import job_queue
from imagegen.queue.job_queue import JobQueue
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.support import conversations
from tests.support.conversations import hook_settings
from tests.support.patience import PATIENCE_S
from tests.support.pool_callers import run_ready_tasks

SOCKET_S = 1.0


@pytest.mark.parametrize(("command", "answer"), [("exists", 1), ("zscore", None)])
async def test_a_connection_that_breaks_while_arq_takes_a_job_leaves_the_job_to_others(
    redis_url: str, command: str, answer: object
) -> None:
    settings = conversations.hook_settings("postgresql://unused/db", redis_url)
    async with (
        connections.job_queue(settings.redis, db=3) as queue,
        Redis.from_url(redis_url) as other,
    ):
        async with queue.pipeline(transaction=True) as pipe:
            await pipe.watch("arq:in-progress:a")
            await other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

            key = ("arq:queue", "a") if command == "zscore" else ("arq:in-progress:a",)
            assert await getattr(pipe, command)(*key) == answer

        await queue.set("a", "1")
        assert await queue.get("a") == b"1", "the connection after it is whole"


@pytest.mark.parametrize("is_executed", [True, False])
async def test_a_redis_that_freezes_while_arq_takes_a_job_does_not_end_the_worker(
    *, is_executed: bool
) -> None:
    with ValkeyServer() as valkey:
        settings = hook_settings("postgresql://unused/db", valkey.url)
        async with job_queue(settings.redis, db=3, socket_timeout_s=0.2) as queue:
            async with queue.pipeline(transaction=True) as pipe:
                await pipe.watch("arq:in-progress:a")
                valkey.freeze()
                if is_executed:
                    pipe.multi()
                    pipe.psetex("arq:in-progress:a", 1000, b"1")
                    with pytest.raises(WatchError):
                        await pipe.execute()

            valkey.thaw()
            await queue.set("a", "1")
            assert await queue.get("a") == b"1", "the connection after it is whole"


async def test_a_worker_that_is_cancelled_while_it_takes_a_job_gives_its_connection_back() -> None:
    with ValkeyServer() as valkey:
        settings = hook_settings("postgresql://unused/db", valkey.url)
        async with job_queue(settings.redis, db=3) as queue:
            async with queue.pipeline(transaction=True) as pipe:
                await pipe.watch("arq:in-progress:a")
                valkey.freeze()
                ending = asyncio.create_task(pipe.reset())
                await run_ready_tasks()  # UNWATCH is sent, and its answer is waited for
                ending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await ending

                assert pipe.connection is None

            valkey.thaw()
            await queue.set("a", "1")


@pytest.mark.parametrize("is_pipeline", [True, False])
async def test_a_connection_opened_to_a_frozen_redis_is_opened_again_once_it_thaws(
    *, is_pipeline: bool
) -> None:
    with ValkeyServer() as valkey:
        settings = hook_settings("postgresql://unused/db", valkey.url)
        async with job_queue(settings.redis, db=3, socket_timeout_s=SOCKET_S) as queue:
            valkey.freeze()
            answer = asyncio.create_task(piped_ping(queue) if is_pipeline else ping(queue))
            # Past the time that a socket may take, more than once.
            done, _ = await asyncio.wait({answer}, timeout=2.2 * SOCKET_S)

            valkey.thaw()

            assert not done
            async with asyncio.timeout(PATIENCE_S):
                assert await answer


async def ping(queue: JobQueue) -> bool:
    return bool(await queue.ping())


async def piped_ping(queue: JobQueue) -> bool:
    async with queue.pipeline(transaction=True) as pipe:
        pipe.ping()
        return bool((await pipe.execute())[0])
