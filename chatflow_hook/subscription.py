"""Messages of a subscription in Redis, whose connection is asked whether it still stands."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from redis.asyncio.client import PubSub


async def wait_for_confirmation(pubsub: PubSub, *, within_s: float) -> None:
    """Return once the server has answered the subscription that was sent.

    Raises:
        TimeoutError: it has not answered within `within_s` seconds.
        RedisError: the connection broke. An OSError may come instead.
    """
    async with asyncio.timeout(within_s):
        while await pubsub.get_message(timeout=within_s) is None:
            pass


async def messages(
    pubsub: PubSub, *, ping_after_s: float
) -> AsyncIterator[Mapping[str, Any] | None]:
    """Yield what the server sends, and None after each `ping_after_s` seconds of silence.

    The server is pinged then; its answer is a message of the type `pong`.

    Raises:
        TimeoutError: it does not answer a ping within `ping_after_s` seconds.
        RedisError: the connection broke. An OSError may come instead.
    """
    is_pinged = False
    while True:
        message = await pubsub.get_message(timeout=ping_after_s)
        if message is None and is_pinged:
            raise TimeoutError("Redis does not answer a ping")
        yield message
        is_pinged = message is None
        if is_pinged:
            await pubsub.ping()
