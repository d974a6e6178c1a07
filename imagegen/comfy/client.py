"""HostClient: one ComfyUI host, as jobs and the pool use it."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from imagegen.comfy import removal, witness
from imagegen.comfy.address import HostAddress
from imagegen.comfy.drawing import Drawing
from imagegen.comfy.errors import PictureGone
from imagegen.comfy.history import PictureFile
from imagegen.comfy.http import HostHTTP
from imagegen.comfy.order import Order
from imagegen.comfy.patience import Limits
from imagegen.comfy.stock import Stock
from imagegen.comfy.witness import Over


class HostClient:
    """One host; open it with `async with` and share it between jobs.

    `transcode`, such as `webp;90`, is how the host sends its pictures; as they are if left out.
    """

    def __init__(
        self,
        address: HostAddress,
        *,
        limits: Limits,
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

    def drawing(self, order: Order) -> Drawing:
        """Return a drawing that is about to begin here; its clocks run from now on."""
        return Drawing(self._http, order, self._limits)

    async def has_ended(self, prompt_id: str) -> bool:
        """Return whether the history tells of the prompt. Raises HostLost."""
        return isinstance(await witness.in_history(self._http, prompt_id), Over)

    async def fetch(self, picture: PictureFile | bytes) -> bytes:
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
            raise PictureGone(f"{self.name} no longer has {picture.filename}")
        return found

    async def forget(self, prompt_id: str) -> None:
        """Delete what the host keeps of a prompt that is over. Raises HostLost."""
        await removal.forget(self._http, prompt_id)

    async def take_off(self, prompt_id: str, *, within_s: float) -> bool:
        """Take a prompt off the host and return whether it is off for sure. Raises HostLost."""
        return await removal.take_off(self._http, prompt_id, within_s=within_s)

    async def stock(self) -> Stock:
        """Read what the host has. Raises HostLost, or ValueError if it tells something else."""
        definitions = await self._http.get("/object_info")
        # Up to a megabyte: too much to look through while sockets wait to be drained.
        return await asyncio.to_thread(Stock.read, definitions)

    async def probe(self) -> None:
        """Return if the host answers. Raises HostLost."""
        await self._http.get("/prompt")
