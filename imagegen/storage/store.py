"""Images: stored pictures, named by their content, wherever they are kept."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from imagegen.errors import Rejected, Unavailable
from imagegen.image_file import ImageFile

# Where pictures lie: by the first two signs of their names.
FOLDERS = tuple(f"{number:02x}" for number in range(256))


# What else lies in a folder is not ours.
_NAME = re.compile(r"[0-9a-f]{64}\.[a-z]+")


class ImageLost(Rejected):
    """A stored picture is gone or is not what was stored."""

    code = "image_lost"


class StoreUnavailable(Unavailable):
    """The store can't be read or written: full, read-only, gone, out of reach."""

    code = "store_unavailable"
    # Each try draws the picture again.
    costs_an_attempt = True


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """A stored picture; sides in pixels."""

    name: str
    width: int
    height: int


class ImageStore(Protocol):
    """Keeps pictures by the SHA-256 of their bytes, so that the same picture is kept once.

    All that waits raises StoreUnavailable.
    """

    def url(self, name: str) -> str | None:
        """Return where a picture can be had by URL, if it can."""
        ...

    async def put(self, picture: ImageFile) -> StoredImage:
        """Store a picture, whole or not at all; twice is as good as once."""
        ...

    async def get(self, name: str) -> bytes:
        """Return a picture's bytes as they were stored. Raises ImageLost too."""
        ...

    async def has(self, name: str) -> bool:
        """Say whether a picture is there, without reading it."""
        ...

    async def erase(self, name: str, *, older_than_s: float) -> bool:
        """Erase a picture; return whether it is gone now.

        A younger one stays: it may have been stored again just now, by a job that has yet to
        write its row.
        """
        ...

    async def stale(self, folder: str, *, older_than_s: float) -> Sequence[str]:
        """Return the names of all of ours in one of FOLDERS that are so old."""
        ...

    async def erase_stale(self, folder: str, name: str, *, older_than_s: float) -> bool:
        """Erase what `stale` returned, as `erase` does."""
        ...


def image_name(picture: ImageFile) -> str:
    """Return under which name a picture is kept."""
    return f"{hashlib.sha256(picture.data).hexdigest()}.{picture.format}"


def is_image_name(text: str) -> bool:
    """Say whether a file or object of this name is a picture of ours."""
    return _NAME.fullmatch(text) is not None


def verified(name: str, data: bytes) -> bytes:
    """Return the bytes of a picture of this name. Raises ImageLost if they are others."""
    if hashlib.sha256(data).hexdigest() != name.partition(".")[0]:
        raise ImageLost(f"the stored picture {name} is damaged")
    return data
