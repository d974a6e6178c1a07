"""Faults of the sandbox's Telegram that concern a connection or a place, not one answer."""

import asyncio

import aiohttp
import pytest

from imagegen.sandbox.telegram import SandboxTelegram

TIMEOUT = aiohttp.ClientTimeout(total=5, connect=0.3)


async def ask(telegram: SandboxTelegram, session: aiohttp.ClientSession) -> int:
    async with session.get(f"{telegram.url}/bot{telegram.token}/getMe") as answer:
        return answer.status


async def test_a_connect_gets_no_answer_while_packets_are_dropped() -> None:
    async with SandboxTelegram() as telegram, aiohttp.ClientSession(timeout=TIMEOUT) as session:
        await telegram.drop_packets()
        for _ in range(3):
            with pytest.raises(aiohttp.ConnectionTimeoutError):
                await ask(telegram, session)
        assert telegram.calls == []

        await telegram.pass_packets()

        assert await ask(telegram, session) == 200


async def test_an_open_connection_falls_silent_while_packets_are_dropped() -> None:
    async with SandboxTelegram() as telegram, aiohttp.ClientSession(timeout=TIMEOUT) as session:
        assert await ask(telegram, session) == 200
        await telegram.drop_packets()

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ask(telegram, session)

        await telegram.pass_packets()
        assert await ask(telegram, session) == 200
        assert len(telegram.calls) == 2


async def test_a_poll_that_waited_already_gets_no_answer_while_packets_are_dropped() -> None:
    async with SandboxTelegram() as telegram, aiohttp.ClientSession(timeout=TIMEOUT) as session:
        url = f"{telegram.url}/bot{telegram.token}/getUpdates?timeout=20"
        poll = asyncio.create_task(session.get(url))
        await telegram.wait_for_calls(1, timeout=5)
        await telegram.drop_packets()
        telegram.write(1001, "hello")

        done, _ = await asyncio.wait({poll}, timeout=0.1)

        assert done == set()
        poll.cancel()


async def test_it_may_end_while_packets_are_dropped() -> None:
    async with SandboxTelegram() as telegram:
        await telegram.drop_packets()
        await telegram.drop_packets()
        port = int(telegram.url.rpartition(":")[2])

    async with SandboxTelegram(port=port) as again, aiohttp.ClientSession() as session:
        assert await ask(again, session) == 200
