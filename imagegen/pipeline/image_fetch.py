"""Fetching the images of a prompt from its host, as soon as the host names them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from imagegen import image_file
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost
from imagegen.comfy.history import OutputImage
from imagegen.image_file import BadImage, ImageFile
from imagegen.pipeline.early_task import EarlyTask

log = structlog.get_logger(__name__)

# The waits before the second and the third try to fetch an image.
_DELAYS_S = (0.2, 1.0)


class ImageFetch:
    """Fetches the first `most` images of one prompt; made by `fetching`, which ends it."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._named: Sequence[OutputImage] = ()
        self._early = EarlyTask[list[ImageFile]](name="early fetch")

    def begin(self, host: HostClient, images: Sequence[OutputImage]) -> None:
        """Begin to fetch what the host has named, while its prompt still ends; only once."""
        if images and not self._early.has_begun:
            self._named = images
            self._early.begin(self._fetch(host, images))

    async def images(
        self, host: HostClient, outputs: Sequence[OutputImage | bytes]
    ) -> list[ImageFile]:
        """Return the images of a prompt that has ended: what was begun, if its history says the same.

        Raises as `fetch_image` does.
        """
        is_as_named = list(self._named) == list(outputs)
        early = await self._early.result() if is_as_named else None
        return await self._fetch(host, outputs) if early is None else early

    async def end(self) -> None:
        """Cancel what was begun and is not done yet."""
        await self._early.end()

    async def _fetch(
        self, host: HostClient, outputs: Sequence[OutputImage | bytes]
    ) -> list[ImageFile]:
        return [await fetch_image(host, each) for each in outputs[: self._most]]


@asynccontextmanager
async def fetching(*, most: int) -> AsyncIterator[ImageFetch]:
    """Yield what fetches the images of a prompt; what is not done after the block is cancelled."""
    fetch = ImageFetch(most=most)
    try:
        yield fetch
    finally:
        await fetch.end()


async def fetch_image(host: HostClient, output: OutputImage | bytes) -> ImageFile:
    """Fetch an image from its host and check it; after a broken transfer it is fetched again.

    `output` names a file on the host, or is the image itself where the websocket has sent it.

    Raises:
        HostLost: the host did not answer three times.
        ImageGone: the host has the file no more.
        ImageTooLarge: the file is larger than an image may be.
        BadImage: what arrived three times is no image.
    """
    for delay_s in _DELAYS_S:
        try:
            return await image_file.in_thread(image_file.check_and_strip, await host.fetch(output))
        except (HostLost, BadImage) as error:
            log.warning("picture is fetched again", host=host.name, why=error.sentence)
        await asyncio.sleep(delay_s)
    return await image_file.in_thread(image_file.check_and_strip, await host.fetch(output))
