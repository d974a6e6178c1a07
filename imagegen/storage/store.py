"""The interface of an image store. Images are named after their content, wherever they are kept."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from imagegen.errors import Rejected, Unavailable
from imagegen.image_file import ImageFile

# The folders of a store: an image lies in the folder of the first two digits of its name.
FOLDERS = tuple(f"{number:02x}" for number in range(256))

# How long an operation on a store may take.
OPERATION_TIMEOUT_S = 30.0

# A file with any other name was not put into the folder by us.
_NAME = re.compile(r"[0-9a-f]{64}\.[a-z]+")


class ImageLost(Rejected):
    """A stored image is gone, or its bytes are not those that were stored."""

    code = "image_lost"


class StoreUnavailable(Unavailable):
    """The store cannot be read or written: it is full, read-only, missing or unreachable."""

    code = "store_unavailable"


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """A stored image; width and height in pixels.

    `album` are the names of the other images of its album, which have the same size.
    """

    name: str
    width: int
    height: int
    album: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all its images."""
        return (self.name, *self.album)


class ImageStore(Protocol):
    """Keeps images under the SHA-256 of their bytes, so that the same image is kept once.

    All methods that wait raise StoreUnavailable if the store cannot be read or written.
    """

    def url(self, name: str) -> str | None:
        """Return the address from which an image can be downloaded; None if there is none."""
        ...

    async def put(self, image: ImageFile) -> StoredImage:
        """Store an image, whole or not at all. It may be stored again: that repairs a damaged one."""
        ...

    async def check_writable(self) -> None:
        """Store a few bytes, read them and take them away, to find out whether an image would pass.

        A directory with too little room for a large picture counts as full.
        """
        ...

    async def free_bytes(self) -> int | None:
        """Return how many bytes more can be stored, None if nobody knows."""
        ...

    async def get(self, name: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            ImageLost: the image is gone or damaged.
        """
        ...

    async def has(self, name: str) -> bool:
        """Tell whether an image is stored, without reading it."""
        ...

    async def erase(self, name: str, *, older_than_s: float) -> bool:
        """Erase an image that is at least so many seconds old; return whether it is gone now.

        A younger image stays: a job may have stored it again a moment ago and not yet written its
        name into the row of the request.
        """
        ...

    async def stale(self, folder: str, *, older_than_s: float) -> Sequence[str]:
        """Return the names of our files in one of FOLDERS that are at least so many seconds old."""
        ...

    async def erase_stale(self, folder: str, name: str, *, older_than_s: float) -> bool:
        """Erase a file that `stale` has returned, under the same rule as `erase`."""
        ...

    async def protect(self, folder: str) -> None:
        """Take from one of FOLDERS and its files the access rights that they should not have.

        New files never have them; those of an earlier version, or from a backup, may.
        """
        ...


def image_name(image: ImageFile) -> str:
    """Return the name of an image in the store: the SHA-256 of its bytes and its format."""
    return f"{image.sha256}.{image.format}"


def is_image_name(text: str) -> bool:
    """Tell whether `image_name` may have made this name."""
    return _NAME.fullmatch(text) is not None


def verified(name: str, data: bytes) -> bytes:
    """Return the bytes of the image of this name, after comparing them with the hash in the name.

    Raises:
        ImageLost: the bytes are not those that were stored.
    """
    if hashlib.sha256(data).hexdigest() != name.partition(".")[0]:
        raise ImageLost(f"the stored picture {name} is damaged")
    return data
