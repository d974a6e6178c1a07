"""Fetches a drawn picture from its host."""

import asyncio

import structlog

from imagegen import image_file
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost
from imagegen.comfy.history import OutputImage
from imagegen.image_file import BadImage, ImageFile

log = structlog.get_logger(__name__)

_AGAIN_S = (0.2, 1.0)


async def picture(host: HostClient, made: OutputImage | bytes) -> ImageFile:
    """Fetch and check a picture; a broken transfer is made again. Raises HostLost or BadPicture."""
    for delay in _AGAIN_S:
        try:
            return await asyncio.to_thread(image_file.read, await host.fetch(made))
        except (HostLost, BadImage) as error:
            log.warning("picture is fetched again", host=host.name, why=error.sentence)
        await asyncio.sleep(delay)
    return await asyncio.to_thread(image_file.read, await host.fetch(made))
