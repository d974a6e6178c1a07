"""An operator's ImageScreen that raises, hangs or returns nonsense does not pass an image."""

import asyncio
from typing import Any

import pytest

from chatflow_hook import Rating
from imagegen.safety import image_screen
from tests.support.image_screens import FixedImageScreen, RaisingImageScreen

PICTURE = b"\x89PNG picture"


class Answering:
    """Returns any value: nothing keeps a screen in Python from that."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def passes(self, image: bytes, rating: Rating) -> Any:
        del image, rating
        return self._answer


class SlowLook:
    """Never returns."""

    async def passes(self, image: bytes, rating: Rating) -> bool:
        del image, rating
        await asyncio.Event().wait()
        return True


async def test_without_a_screen_every_picture_passes() -> None:
    assert await image_screen.image_passes(None, PICTURE, Rating.SAFE)


@pytest.mark.parametrize("answer", [1, "yes", [True], 0.99, object(), None, False])
async def test_nothing_but_true_passes(answer: object) -> None:
    assert not await image_screen.image_passes(Answering(answer), PICTURE, Rating.SAFE)


async def test_true_passes() -> None:
    assert await image_screen.image_passes(FixedImageScreen(passes=True), PICTURE, Rating.SAFE)


async def test_a_screen_that_takes_too_long_has_not_passed_it() -> None:
    assert not await image_screen.image_passes(SlowLook(), PICTURE, Rating.SAFE, within_s=0.05)


async def test_a_screen_that_raises_has_not_passed_it() -> None:
    assert not await image_screen.image_passes(RaisingImageScreen(), PICTURE, Rating.SAFE)


async def test_who_is_cancelled_while_a_screen_looks_is_cancelled() -> None:
    looking = asyncio.create_task(image_screen.image_passes(SlowLook(), PICTURE, Rating.SAFE))
    await asyncio.sleep(0)
    looking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await looking
