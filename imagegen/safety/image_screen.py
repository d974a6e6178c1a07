"""ImageScreen: a check of drawn images, which an operator may add; without it there is none."""

import asyncio
from typing import Protocol

import structlog

from chatflow_hook.turn import Rating

log = structlog.get_logger(__name__)

_TIMEOUT_S = 20.0


class ImageScreen(Protocol):
    """Decides whether an image may be sent. Called for each request, also if it reuses an image."""

    async def passes(self, image: bytes, rating: Rating) -> bool:
        """Return whether an encoded image (PNG, JPEG or WebP) is suitable for this rating."""
        ...


async def image_passes(
    screen: ImageScreen | None, image: bytes, rating: Rating, *, within_s: float = _TIMEOUT_S
) -> bool:
    """Return whether the screen passes an image; True if there is no screen (None).

    False also if the screen raises, returns anything else than True, or takes more than `within_s`.
    """
    if screen is None:
        return True
    try:
        async with asyncio.timeout(within_s):
            return await screen.passes(image, rating) is True
    except Exception as error:  # noqa: BLE001 (an operator's code may raise anything: fail closed)
        log.error("image screen failed", error=type(error).__name__)  # noqa: TRY400 (the message may quote anything)
        return False
