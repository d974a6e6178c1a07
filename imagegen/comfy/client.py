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
from imagegen.comfy.host_report import HostResources, read_resources
from imagegen.comfy.http import HostHTTP
from imagegen.comfy.prompt_account import PromptAccount, read_account
from imagegen.comfy.prompt_cancel import cancel_prompt, delete_history
from imagegen.comfy.prompt_job import PromptJob
from imagegen.comfy.prompt_status import PromptEnded, find_in_history
from imagegen.comfy.timeouts import PromptTimeouts


class HostClient:
    """A client of one host; open it with `async with` and share it between jobs.

    `transcode`, such as `webp;90`, is the format and quality in which the host sends its images
    (the `preview` parameter of ComfyUI's /view); None: the image files as they are.
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
        self.address = address
        self._limits = limits
        self._transcode = {} if transcode is None else {"preview": transcode}
        self._http = HostHTTP(address, headers=headers or {}, request_timeout=limits.request_s)

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

    def execution(self, job: PromptJob) -> PromptExecution:
        """Return the execution of a prompt on this host; its timeouts count from this call."""
        return PromptExecution(self._http, job, self._limits)

    async def has_ended(self, prompt_id: str) -> bool:
        """Return whether the host's history has an entry of the prompt.

        Raises:
            HostLost: the host does not answer.
        """
        return isinstance(await find_in_history(self._http, prompt_id), PromptEnded)

    async def account(self, prompt_id: str) -> PromptAccount:
        """Return where the prompt is, and what the host has noted of it.

        Raises:
            HostLost: the host does not answer.
        """
        return await read_account(self._http, prompt_id)

    async def fetch(self, image: OutputImage | bytes) -> bytes:
        """Return the bytes of an image; bytes that the host has already sent are returned as is.

        Raises:
            ImageGone: the host no longer has the file.
            ImageTooLarge: the file is larger than 50 MiB.
            HostLost: the host does not answer.
        """
        if isinstance(image, bytes):
            return image
        file = {
            "filename": image.filename,
            "subfolder": image.subfolder,
            "type": image.type,
        }
        data = await self._http.download("/view", **file, **self._transcode)
        if data is None:
            raise ImageGone(f"{self.name} no longer has {image.filename}")
        return data

    async def delete_history(self, prompt_id: str) -> None:
        """Delete what the host keeps of a prompt that has ended; may be called twice.

        Raises:
            HostLost: the host does not answer.
        """
        await delete_history(self._http, prompt_id)

    async def cancel_prompt(self, prompt_id: str, *, within_s: float) -> bool:
        """Cancel a prompt and return whether it is certainly off the host.

        Raises:
            HostLost: the host does not answer.
        """
        return await cancel_prompt(self._http, prompt_id, within_s=within_s)

    async def capabilities(self) -> HostCapabilities:
        """Read the host's node classes and model files.

        Raises:
            HostLost: the host does not answer.
            ValueError: the answer holds no node classes.
        """
        definitions = await self._http.get("/object_info")
        # In a thread, since the event loop must keep reading websockets: a host may list thousands
        # of files. To parse its JSON there as well would help nobody, as json holds the interpreter's
        # lock meanwhile.
        return await asyncio.to_thread(HostCapabilities.read, definitions)

    async def resources(self) -> HostResources:
        """Read the host's memory and the length of its queue, other people's prompts included.

        Raises:
            HostLost: the host does not answer.
        """
        return await read_resources(self._http)

    async def probe(self) -> int | None:
        """Return how many prompts the host has, if it answers: the running one and those of others.

        None: it does not tell.

        Raises:
            HostLost: the host does not answer.
        """
        match await self._http.get("/prompt"):
            case {"exec_info": {"queue_remaining": int(length)}}:
                return length
            case _:
                return None
