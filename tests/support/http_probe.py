"""Asks a worker's health endpoints over HTTP, as an orchestrator does."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

# A check takes at most 2 s; the rest is for a busy machine.
BOUND_S = 4.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer, and how long it took."""

    status: int
    body: dict[str, Any]
    seconds: float

    @property
    def missing(self) -> set[str]:
        return set(self.body["missing"])

    def is_missing(self, *names: str, why: str) -> bool:
        """Whether exactly these checks fail, one of them for a reason with `why` in it."""
        return self.missing == set(names) and why in str(self.body["missing"])


class Prober:
    """Asks the endpoints at the port of one worker."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    async def get(self, path: str) -> Answer:
        began = time.monotonic()
        async with aiohttp.ClientSession() as session, session.get(self._url + path) as answer:
            body = await answer.json()
        return Answer(status=answer.status, body=body, seconds=time.monotonic() - began)

    async def until_missing(self, *names: str, timeout_s: float, why: str = "") -> Answer:
        """Ask until exactly these checks fail, for a reason with `why` in it.

        Each answer has to come within BOUND_S.
        """
        last: object = None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    last = answer = await self._asked()
                    if answer is not None and answer.is_missing(*names, why=why):
                        return answer
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"not after {timeout_s:g} s, but {last}") from None

    async def _asked(self) -> Answer | None:
        try:
            answer = await self.get("/readyz")
        except aiohttp.ClientConnectionError:
            return None  # not there yet
        assert answer.seconds < BOUND_S, answer
        return answer
