"""Redis as arq sees it through our connections."""

import pytest
from redis.asyncio import Redis

from imagegen import broker
from tests import chat


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
