"""HostClient: draws prompts on one ComfyUI host."""

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import structlog
from aiohttp import ClientWebSocketResponse, WSMsgType

from imagegen.comfy import events, history, refusal
from imagegen.comfy.address import HostAddress
from imagegen.comfy.errors import (
    DrawingFailed,
    DrawingTooSlow,
    HostLost,
    PictureMissing,
    PromptLost,
)
from imagegen.comfy.history import PictureFile
from imagegen.comfy.http import HostHTTP
from imagegen.comfy.patience import Limits, Patience
from imagegen.comfy.progress import Progress

log = structlog.get_logger(__name__)

# The history entry comes up to 7 ms after execution_success on real servers.
_HISTORY_DELAYS_S = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)

OnProgress = Callable[[float], None]


class HostClient:
    """One host; open it with `async with` and share it between jobs."""

    def __init__(
        self, address: HostAddress, *, limits: Limits, headers: Mapping[str, str] | None = None
    ) -> None:
        self.name = address.name
        self._limits = limits
        self._http = HostHTTP(address, headers=headers or {}, request_timeout=limits.request)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def draw(
        self, graph: Mapping[str, Any], prompt_id: str, *, on_progress: OnProgress
    ) -> None:
        """Post the graph as `prompt_id`, a canonical UUID, and return when the host is done.

        Raises HostLost, PromptLost, DrawingFailed, DrawingTooSlow or PromptRefused. A prompt that
        takes too long or whose host falls silent is taken off the host; a cancelled call leaves
        it there, for whoever takes the request over.
        """
        # Listen before posting: a short prompt is over before a later socket would be there.
        async with self._http.socket(prompt_id) as socket:
            try:
                await self._post(graph, prompt_id)
                log.info("prompt queued", host=self.name, prompt_id=prompt_id)
                await self._follow(socket, prompt_id, Progress(graph), on_progress)
            except (HostLost, DrawingTooSlow):
                if not await self._ended_unheard(prompt_id):
                    raise
        on_progress(1.0)

    async def pictures(self, prompt_id: str, node: str) -> tuple[PictureFile, ...]:
        """Return the pictures that `node` made, as the host's history confirms them.

        Raises PictureMissing if there are none, DrawingFailed or PromptLost if the host did not
        finish.
        """
        return history.read(self.name, prompt_id, await self._history(prompt_id), node)

    async def fetch(self, file: PictureFile) -> bytes:
        """Return the bytes of a picture. Raises PictureMissing, PictureTooLarge or HostLost."""
        picture = await self._http.download(
            "/view", filename=file.filename, subfolder=file.subfolder, type=file.type
        )
        if picture is None:
            raise PictureMissing(f"{self.name} no longer has {file.filename}")
        return picture

    async def forget(self, prompt_id: str) -> None:
        """Delete the prompt from the host's history."""
        await self._http.post("/history", {"delete": [prompt_id]})

    async def cancel(self, prompt_id: str) -> None:
        """Take this prompt off the host, queued or running."""
        await self._http.post("/queue", {"delete": [prompt_id]})
        await self._http.post("/interrupt", {"prompt_id": prompt_id})

    async def probe(self) -> None:
        """Return if the host answers. Raises HostLost."""
        await self._http.get("/prompt")

    async def _post(self, graph: Mapping[str, Any], prompt_id: str) -> None:
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": prompt_id}
        status, answer = await self._http.ask("/prompt", body)
        if status == 400:
            raise refusal.read(self.name, graph, answer)
        if answer.get("node_errors"):
            # The host draws what is left of the graph, which nobody asked for.
            await self.cancel(prompt_id)
            raise refusal.read(self.name, graph, answer)

    async def _follow(
        self,
        socket: ClientWebSocketResponse,
        prompt_id: str,
        progress: Progress,
        on_progress: OnProgress,
    ) -> None:
        patience = Patience(self._limits, asyncio.get_running_loop().time)
        while True:
            event = await self._next(socket, patience)
            if getattr(event, "prompt_id", None) != prompt_id:
                continue
            patience.renew()
            match event:
                case events.Started():
                    patience.start_drawing()
                case events.Succeeded() | events.Ended():
                    return
                case events.Failed():
                    raise DrawingFailed(
                        f"node {event.node} ({event.node_type}) raised {event.exception_type}"
                        f" on {self.name}"
                    )
                case events.Interrupted():
                    raise PromptLost(f"somebody interrupted {prompt_id} on {self.name}")
                case _:
                    progress.note(event)
                    on_progress(progress.share)

    async def _next(self, socket: ClientWebSocketResponse, patience: Patience) -> events.Event:
        try:
            async with asyncio.timeout_at(patience.ends_at):
                message = await socket.receive()
        except TimeoutError:
            raise patience.error(self.name) from None
        if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
            raise HostLost(f"{self.name} closed the websocket while it drew")
        try:
            return events.read(message.data)
        except events.MalformedFrame as error:
            raise HostLost(f"{self.name} sent what is no frame of ComfyUI: {error}") from error

    async def _ended_unheard(self, prompt_id: str) -> bool:
        # The websocket tells fast, the history decides.
        try:
            if prompt_id in await self._http.get(f"/history/{prompt_id}"):
                return True
            await self.cancel(prompt_id)
        except HostLost as error:
            log.warning("prompt left behind", host=self.name, prompt_id=prompt_id, why=str(error))
        return False

    async def _history(self, prompt_id: str) -> Any:
        for delay in _HISTORY_DELAYS_S:
            await asyncio.sleep(delay)
            entry = (await self._http.get(f"/history/{prompt_id}")).get(prompt_id)
            if entry is not None:
                return entry
        raise PromptLost(f"{self.name} has no history of {prompt_id}")
