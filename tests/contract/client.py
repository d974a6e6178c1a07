"""A client of a host that others may use too: it cancels its prompts and deletes its history."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from aiohttp import ClientResponse, ClientSession, ClientTimeout

from tests.contract.graphs import Graph
from tests.contract.host import Host
from tests.contract.websocket_listener import EventListener, listening

_POLL_INTERVAL_S = 0.05


class ContractClient:
    """One client id: an HTTP session, its websockets, and the prompts that it posted."""

    def __init__(self, host: Host, session: ClientSession, client_id: str) -> None:
        self.host = host
        self.session = session
        self.client_id = client_id
        self.posted: list[str] = []

    async def try_post(self, graph: Graph, **fields: Any) -> tuple[int, Any]:
        """Post a prompt, under a new id or the given one; returns status and answer."""
        body = {
            "prompt": graph,
            "client_id": self.client_id,
            "prompt_id": str(uuid.uuid4()),
            **fields,
        }
        self.posted.append(body["prompt_id"])
        async with self._call("POST", "/prompt", json=body) as response:
            return response.status, await response.json()

    async def post(self, graph: Graph, **fields: Any) -> str:
        """Post a prompt that the host must accept; returns its id."""
        status, answer = await self.try_post(graph, **fields)
        assert (status, answer["node_errors"]) == (200, {}), answer
        return str(answer["prompt_id"])

    async def get(self, path: str, **query: str) -> Any:
        """Return the JSON at a path."""
        async with self._call("GET", path, query=query) as response:
            assert response.status == 200, (path, response.status)
            return await response.json()

    async def send(self, path: str, body: Any = None) -> tuple[int, bytes]:
        """Post a body; returns status and body of the answer."""
        async with self._call("POST", path, json=body) as response:
            return response.status, await response.read()

    async def view(self, **query: str) -> tuple[int, str, bytes]:
        """Fetch an image; returns status, content type and bytes."""
        async with self._call("GET", "/view", query=query) as response:
            return response.status, response.content_type, await response.read()

    async def entry(self, prompt_id: str) -> Any:
        """Return the history entry of a prompt, None if there is none."""
        return (await self.get(f"/history/{prompt_id}")).get(prompt_id)

    async def entry_soon(self, prompt_id: str) -> Any:
        """Wait for the history entry of a prompt."""
        async with asyncio.timeout(self.host.patience_s):
            while True:
                if (entry := await self.entry(prompt_id)) is not None:
                    return entry
                await asyncio.sleep(_POLL_INTERVAL_S)

    async def queued(self) -> tuple[list[str], list[str]]:
        """Return the ids of running and of pending prompts, of all clients."""
        queue = await self.get("/queue")
        running, pending = queue["queue_running"], queue["queue_pending"]
        return [item[1] for item in running], [item[1] for item in pending]

    async def on_host(self) -> set[str]:
        """Return the ids of all prompts that run or are pending."""
        running, pending = await self.queued()
        return {*running, *pending}

    async def expect_running(self, prompt_id: str) -> None:
        """Skip the test if the prompt has ended already: this host was too fast for it."""
        running, _ = await self.queued()
        if prompt_id not in running:
            self.host.skip("the prompt was over too soon to see anything")

    async def expect_on_host(self, prompt_id: str) -> None:
        """Skip the test if the prompt is neither pending nor running any more."""
        if prompt_id not in await self.on_host():
            self.host.skip("the prompt was over too soon to see anything")

    async def expect_pending(self, prompt_id: str) -> None:
        """Skip the test if the prompt is not pending any more."""
        _, pending = await self.queued()
        if prompt_id not in pending:
            self.host.skip("the prompt did not wait long enough to see anything")

    async def cancel(self, prompt_id: str) -> None:
        """Delete or interrupt a prompt until the host has it no more; an interrupt may get lost."""
        async with asyncio.timeout(self.host.patience_s):
            while prompt_id in await self.on_host():
                await self.send("/queue", {"delete": [prompt_id]})
                await self.send("/interrupt", {"prompt_id": prompt_id})
                await asyncio.sleep(_POLL_INTERVAL_S)

    async def clean_up(self) -> None:
        """Cancel all prompts that were posted and delete their history; files stay."""
        for prompt_id in self.posted:
            await self.cancel(prompt_id)
        await self.send("/history", {"delete": self.posted})

    def listen(self, path: str = "/ws") -> AbstractAsyncContextManager[EventListener]:
        """Open one more websocket under the client id; it counts after its first frame."""
        scheme = "wss" if self.host.address.base.scheme == "https" else "ws"
        url = self.host.address.url(path, clientId=self.client_id).with_scheme(scheme)
        return listening(self.session, url, self.host.patience_s)

    def _call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, json: Any = None
    ) -> AbstractAsyncContextManager[ClientResponse]:
        url = self.host.address.url(path, **(query or {}))
        return self.session.request(method, url, json=json, allow_redirects=False)


@asynccontextmanager
async def connected_client(host: Host) -> AsyncIterator[ContractClient]:
    """Connect under a new client id, and clean up at the end."""
    # For one HTTP call; the longer time for other users' prompts applies to events.
    timeout = ClientTimeout(total=30)
    async with ClientSession(headers=host.headers, timeout=timeout) as session:
        contract_client = ContractClient(host, session, str(uuid.uuid4()))
        try:
            yield contract_client
        finally:
            await contract_client.clean_up()
