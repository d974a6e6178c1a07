"""Ready-made images for simulated hosts, so that drawing costs this machine no CPU time.

A real host draws on its GPU, not on the cores that the worker and its database run on.
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
# How many are kept: an image is fetched within seconds after it was drawn.
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


def blank_image(_scene: PaintedScene, _size: tuple[int, int]) -> Image.Image:
    """Draw a blank image: what is saved comes from ReadyImages."""
    return Image.new("RGB", (8, 8))


class ReadyImages(ImageFolders):
    """Saves a ready-made image in place of each that is drawn; keeps only the last ones."""

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


class VaryingSpeed:
    """The `sleep` of a host's executor: each picture takes a random share more or less time.

    Otherwise all hosts would be in step with a worker that polls every so many seconds.
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
