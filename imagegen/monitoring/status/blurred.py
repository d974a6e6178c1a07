"""Pictures so small that nobody can tell what they show: the page shows these until one is clicked."""

from collections import OrderedDict
from io import BytesIO

from PIL import Image

from imagegen import image_file
from imagegen.storage.store import ImageStore

_LONGEST_SIDE = 12
_MOST_KEPT = 256


class BlurredImages:
    """Makes them of stored images, and keeps the last ones: an image of a name never changes."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    async def get(self, name: str) -> bytes:
        """Return the tiny image of a stored one, as PNG.

        Raises:
            ImageLost: the image is gone or damaged.
            StoreUnavailable: the store cannot be read.
        """
        if name not in self._kept:
            self._kept[name] = await image_file.in_thread(_tiny, await self._store.get(name))
        self._kept.move_to_end(name)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return self._kept[name]


def _tiny(data: bytes) -> bytes:
    with Image.open(BytesIO(data)) as image, image_file.decoding(image.size):
        image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        out = BytesIO()
        image.convert("RGB").save(out, "PNG")
    return out.getvalue()
