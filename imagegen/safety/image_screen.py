"""ImageScreen: a look at a drawn picture, which an operator may add; without one none is made."""

import asyncio
from typing import Protocol

import structlog

from chatflow_hook.turn import Rating

log = structlog.get_logger(__name__)

_WITHIN_S = 20.0


class ImageScreen(Protocol):
    """Says whether a picture may be shown: once it is drawn, and for each request that reuses it."""

    async def passes(self, image: bytes, rating: Rating) -> bool:
        """Say whether an encoded picture (PNG, JPEG or WebP) is fit for this rating."""
        ...


async def image_passes(
    screen: ImageScreen | None, image: bytes, rating: Rating, *, within_s: float = _WITHIN_S
) -> bool:
    """Ask the screen, if there is one; one that fails or takes too long has not passed it."""
    if screen is None:
        return True
    try:
        async with asyncio.timeout(within_s):
            return await screen.passes(image, rating) is True
    except Exception as error:  # noqa: BLE001 (somebody else's code: whatever it raises, fail closed)
        log.error("image screen failed", error=type(error).__name__)  # noqa: TRY400 (no words of others)
        return False
