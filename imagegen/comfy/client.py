"""HostClient: one ComfyUI host, as jobs and the pool use it."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from imagegen.comfy.address import HostAddress
from imagegen.comfy.capabilities import HostCapabilities
from imagegen.comfy.errors import ImageGone
from imagegen.comfy.execution import PromptExecution
from imagegen.comfy.history import OutputImage
from imagegen.comfy.http import HostHTTP
from imagegen.comfy.prompt import PromptJob
from imagegen.comfy.prompt_cancel import cancel_prompt, delete_history
from imagegen.comfy.prompt_status import PromptEnded, find_in_history
from imagegen.comfy.timeouts import PromptTimeouts


class HostClient:
    """One host; open it with `async with` and share it between jobs.

    `transcode`, such as `webp;90`, is how the host sends its pictures; as they are if left out.
    """

    def __init__(
        self,
        address: HostAddress,
        *,
        limits: PromptTimeouts,
        headers: Mapping[str, str] | None = None,
        transcode: str | None = None,
    ) -> None:
        self.name = address.name
        self._limits = limits
        self._transcode = {} if transcode is None else {"preview": transcode}
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

    def execution(self, order: PromptJob) -> PromptExecution:
        """Return a drawing that is about to begin here; its clocks run from now on."""
        return PromptExecution(self._http, order, self._limits)

    async def has_ended(self, prompt_id: str) -> bool:
        """Return whether the history tells of the prompt. Raises HostLost."""
        return isinstance(await find_in_history(self._http, prompt_id), PromptEnded)

    async def fetch(self, picture: OutputImage | bytes) -> bytes:
        """Return the bytes of a picture. Raises PictureGone, PictureTooLarge or HostLost."""
        if isinstance(picture, bytes):
            return picture
        file = {
            "filename": picture.filename,
            "subfolder": picture.subfolder,
            "type": picture.type,
        }
        found = await self._http.download("/view", **file, **self._transcode)
        if found is None:
            raise ImageGone(f"{self.name} no longer has {picture.filename}")
        return found

    async def delete_history(self, prompt_id: str) -> None:
        """Delete what the host keeps of a prompt that is over. Raises HostLost."""
        await delete_history(self._http, prompt_id)

    async def cancel_prompt(self, prompt_id: str, *, within_s: float) -> bool:
        """Take a prompt off the host and return whether it is off for sure. Raises HostLost."""
        return await cancel_prompt(self._http, prompt_id, within_s=within_s)

    async def capabilities(self) -> HostCapabilities:
        """Read what the host has. Raises HostLost, or ValueError if it tells something else."""
        definitions = await self._http.get("/object_info")
        # Up to a megabyte: too much to look through while sockets wait to be drained.
        return await asyncio.to_thread(HostCapabilities.read, definitions)

    async def probe(self) -> None:
        """Return if the host answers. Raises HostLost."""
        await self._http.get("/prompt")
