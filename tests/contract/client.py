"""A polite client of a host that others use: takes its prompts off and its history away."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from aiohttp import ClientResponse, ClientSession, ClientTimeout

from tests.contract.graphs import Graph
from tests.contract.host import Host
from tests.contract.websocket_listener import Ear, listening

_BETWEEN_LOOKS_S = 0.05


class Visitor:
    """One client id: an HTTP session, a socket, and the prompts that it posted."""

    def __init__(self, host: Host, session: ClientSession, client_id: str) -> None:
        self.host = host
        self.session = session
        self.client_id = client_id
        self.posted: list[str] = []

    async def offer(self, graph: Graph, **wishes: Any) -> tuple[int, Any]:
        """Post a prompt under an id of its own or a given one; give status and answer."""
        body = {
            "prompt": graph,
            "client_id": self.client_id,
            "prompt_id": str(uuid.uuid4()),
            **wishes,
        }
        self.posted.append(body["prompt_id"])
        async with self._call("POST", "/prompt", json=body) as response:
            return response.status, await response.json()

    async def post(self, graph: Graph, **wishes: Any) -> str:
        """Post a prompt that the host must accept, and give its id."""
        status, answer = await self.offer(graph, **wishes)
        assert (status, answer["node_errors"]) == (200, {}), answer
        return str(answer["prompt_id"])

    async def get(self, path: str, **query: str) -> Any:
        """Give the JSON at a path."""
        async with self._call("GET", path, query=query) as response:
            assert response.status == 200, (path, response.status)
            return await response.json()

    async def send(self, path: str, body: Any = None) -> tuple[int, bytes]:
        """Post a command; give status and body."""
        async with self._call("POST", path, json=body) as response:
            return response.status, await response.read()

    async def view(self, **query: str) -> tuple[int, str, bytes]:
        """Ask for a picture; give status, content type and bytes."""
        async with self._call("GET", "/view", query=query) as response:
            return response.status, response.content_type, await response.read()

    async def entry(self, prompt_id: str) -> Any:
        """Give the history of a prompt, None if there is none."""
        return (await self.get(f"/history/{prompt_id}")).get(prompt_id)

    async def entry_soon(self, prompt_id: str) -> Any:
        """Wait for the history of a prompt."""
        async with asyncio.timeout(self.host.patience_s):
            while True:
                if (entry := await self.entry(prompt_id)) is not None:
                    return entry
                await asyncio.sleep(_BETWEEN_LOOKS_S)

    async def queued(self) -> tuple[list[str], list[str]]:
        """List the ids of the prompts that run and that wait, of everybody."""
        queue = await self.get("/queue")
        running, pending = queue["queue_running"], queue["queue_pending"]
        return [item[1] for item in running], [item[1] for item in pending]

    async def on_host(self) -> set[str]:
        """Give the ids of all prompts that run or wait."""
        running, pending = await self.queued()
        return {*running, *pending}

    async def expect_running(self, prompt_id: str) -> None:
        """Give up if the prompt does not run any more: this host was too fast for the test."""
        running, _ = await self.queued()
        if prompt_id not in running:
            self.host.give_up("the prompt was over too soon to see anything")

    async def expect_on_host(self, prompt_id: str) -> None:
        """Give up if the prompt neither waits nor runs any more."""
        if prompt_id not in await self.on_host():
            self.host.give_up("the prompt was over too soon to see anything")

    async def expect_pending(self, prompt_id: str) -> None:
        """Give up if the prompt does not wait any more."""
        _, pending = await self.queued()
        if prompt_id not in pending:
            self.host.give_up("the prompt did not wait long enough to see anything")

    async def take_off(self, prompt_id: str) -> None:
        """Delete or interrupt a prompt until the host has it no more: interrupts get lost."""
        async with asyncio.timeout(self.host.patience_s):
            while prompt_id in await self.on_host():
                await self.send("/queue", {"delete": [prompt_id]})
                await self.send("/interrupt", {"prompt_id": prompt_id})
                await asyncio.sleep(_BETWEEN_LOOKS_S)

    async def leave(self) -> None:
        """Leave nothing behind but files."""
        for prompt_id in self.posted:
            await self.take_off(prompt_id)
        await self.send("/history", {"delete": self.posted})

    def listen(self, path: str = "/ws") -> AbstractAsyncContextManager[Ear]:
        """Open one more socket under the client id; it counts once its greeting was heard."""
        scheme = "wss" if self.host.address.base.scheme == "https" else "ws"
        url = self.host.address.url(path, clientId=self.client_id).with_scheme(scheme)
        return listening(self.session, url, self.host.patience_s)

    def _call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, json: Any = None
    ) -> AbstractAsyncContextManager[ClientResponse]:
        url = self.host.address.url(path, **(query or {}))
        return self.session.request(method, url, json=json, allow_redirects=False)


@asynccontextmanager
async def visit(host: Host) -> AsyncIterator[Visitor]:
    """Come under a client id of one's own, and leave nothing behind."""
    # Of one HTTP call; the patience with others' prompts is spent on events.
    timeout = ClientTimeout(total=30)
    async with ClientSession(headers=host.headers, timeout=timeout) as session:
        visitor = Visitor(host, session, str(uuid.uuid4()))
        try:
            yield visitor
        finally:
            await visitor.leave()
