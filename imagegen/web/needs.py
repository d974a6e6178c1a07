"""Needs: how Redis, Telegram and the hosts are asked whether the worker can work with them."""

import asyncio

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError

from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost
from imagegen.delivery.errors import FloodWait, NotSent, OutcomeUnknown
from imagegen.delivery.telegram import Telegram
from imagegen.pool.health import Condition
from imagegen.pool.pool import Pool
from imagegen.web.question import Ask

_UNUSABLE = (Condition.DOWN, Condition.ASIDE)


def redis(client: Redis) -> Ask:
    """Ask Redis whether it answers."""

    async def ask() -> str | None:
        try:
            await client.ping()
        except AuthenticationError:
            return "it refuses the password"
        except (RedisError, OSError) as error:
            return f"it does not answer: {type(error).__name__}"
        return None

    return ask


def telegram(bot: Telegram) -> Ask:
    """Ask Telegram whether it knows the token; the error that it raises tells."""

    async def ask() -> str | None:
        try:
            await bot.probe()
        except FloodWait:
            return None  # it knows us well enough
        except (NotSent, OutcomeUnknown):
            return "it cannot be reached"
        return None

    return ask


def hosts(pool: Pool) -> Ask:
    """Ask the hosts that the pool would draw on whether one of them answers."""

    async def ask() -> str | None:
        status = pool.status()
        usable = [each.name for each in status if each.condition not in _UNUSABLE]
        clients = [client for name in usable if (client := pool.client(name)) is not None]
        if await _one_answers(clients):
            return None
        return f"none of {len(status)} is up"

    return ask


async def _one_answers(clients: list[HostClient]) -> bool:
    asked = [asyncio.create_task(_answers(client)) for client in clients]
    try:
        for first in asyncio.as_completed(asked):
            if await first:
                return True
        return False
    finally:
        for task in asked:
            task.cancel()


async def _answers(client: HostClient) -> bool:
    try:
        await client.probe()
    except HostLost:
        return False
    return True
