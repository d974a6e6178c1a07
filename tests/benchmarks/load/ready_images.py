"""A portfolio: ready-made pictures for a sandbox host, so that drawing costs this machine nothing.

A real host paints on its GPU, not on the cores that the worker and its database run on.
"""

import io
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator

from PIL import Image

from imagegen.sandbox.comfyui.execution.files import FileName, ImageFolders
from imagegen.sandbox.comfyui.execution.node_context import PaintedScene

# Noise of this size as PNG is close to what ComfyUI saves for 832 × 1216 pixels: 1.3 MB.
_LARGE = (832, 521)
_SMALL = (64, 64)
_LARGE_ONES = 60
# A picture is fetched within seconds of its drawing.
_KEPT = 400


def pictures(*, are_large: bool, seed: int = 0) -> Iterator[bytes]:
    """Yield PNGs without end: some of 1.3 MB again and again, or small ones, all different."""
    chance = random.Random(seed)
    if are_large:
        return itertools.cycle([_noise(chance, _LARGE) for _ in range(_LARGE_ONES)])
    return (_noise(chance, _SMALL) for _ in itertools.count())


def _noise(chance: random.Random, size: tuple[int, int]) -> bytes:
    width, height = size
    png = io.BytesIO()
    image = Image.frombytes("RGB", size, chance.randbytes(width * height * 3))
    image.save(png, "PNG", compress_level=1)
    return png.getvalue()


def unpainted(_scene: PaintedScene, _size: tuple[int, int]) -> Image.Image:
    """Paint next to nothing: what is saved comes from the portfolio."""
    return Image.new("RGB", (8, 8))


class Portfolio(ImageFolders):
    """Saves one of the ready-made pictures in place of each that is drawn, and keeps the last."""

    def __init__(self, pictures: Iterator[bytes]) -> None:
        super().__init__(tells_common_path=False)
        self._ready = pictures
        self._numbers_given = itertools.count(1)

    def save(self, prefix: str, folder: str, png: bytes, *, batch_number: int = 0) -> FileName:  # noqa: ARG002 (as the base has it)
        filename = f"{prefix.rpartition('/')[2]}_{next(self._numbers_given):05}_.png"
        name = FileName(filename=filename, subfolder="", type=folder)
        self._images[name] = next(self._ready)
        if len(self._images) > _KEPT:
            del self._images[next(iter(self._images))]
        return name


class Tempo:
    """A clock for a host's worker: pictures take a share more or less, each another.

    Otherwise they would be in step with whoever polls every so many seconds.
    """

    def __init__(
        self, sleep: Callable[[float], Awaitable[object]], *, share: float, seed: str
    ) -> None:
        self._sleep = sleep
        self._share = share
        self._chance = random.Random(seed)
        self._steps = itertools.count()
        self._factor = 1.0

    def __call__(self, seconds: float) -> Awaitable[object]:
        # Every shipped workflow draws in eight steps; waits of no time are between nodes.
        if seconds and next(self._steps) % 8 == 0:
            self._factor = self._chance.uniform(1 - self._share, 1 + self._share)
        return self._sleep(seconds * self._factor)
