"""Redis as arq sees it through our connections."""

import asyncio

import pytest
from redis.asyncio import Redis

from imagegen import broker
from imagegen.sandbox.valkey import ValkeyServer
from tests import chat
from tests.stage import PATIENCE_S

SOCKET_S = 1.0


@pytest.mark.parametrize(("command", "answer"), [("exists", 1), ("zscore", None)])
async def test_a_connection_that_breaks_while_arq_takes_a_job_leaves_the_job_to_others(
    redis_url: str, command: str, answer: object
) -> None:
    settings = chat.hook_settings("postgresql://unused/db", redis_url)
    async with broker.queue(settings.redis, db=3) as queue, Redis.from_url(redis_url) as other:
        async with queue.pipeline(transaction=True) as pipe:
            await pipe.watch("arq:in-progress:a")
            await other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

            key = ("arq:queue", "a") if command == "zscore" else ("arq:in-progress:a",)
            assert await getattr(pipe, command)(*key) == answer

        await queue.set("a", "1")
        assert await queue.get("a") == b"1", "the connection after it is whole"


@pytest.mark.parametrize("is_pipeline", [True, False])
async def test_a_connection_opened_to_a_frozen_redis_is_opened_again_once_it_thaws(
    *, is_pipeline: bool
) -> None:
    with ValkeyServer() as valkey:
        settings = chat.hook_settings("postgresql://unused/db", valkey.url)
        async with broker.queue(settings.redis, db=3, socket_timeout_s=SOCKET_S) as queue:
            valkey.freeze()
            answer = asyncio.create_task(answered(queue) if is_pipeline else queue.ping())
            # Past the time that a socket may take, more than once.
            done, _ = await asyncio.wait({answer}, timeout=2.2 * SOCKET_S)

            valkey.thaw()

            assert not done
            async with asyncio.timeout(PATIENCE_S):
                assert await answer


async def answered(queue: broker.Queue) -> bool:
    async with queue.pipeline(transaction=True) as pipe:
        pipe.ping()
        return bool((await pipe.execute())[0])
