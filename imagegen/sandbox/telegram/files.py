"""Uploaded files, and which images Telegram accepts as a photo."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

from PIL import Image

from imagegen.sandbox.telegram import errors
from imagegen.sandbox.telegram.errors import bad_request

Kind = Literal["photo", "document"]

MAX_PHOTO_BYTES = 10 * 1024 * 1024
_MAX_SIDES = 10_000
_MAX_RATIO = 20

_SIGNATURES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
    b"GIF8": "image/gif",
}


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """An uploaded file; width and height in pixels, 0 for a document.

    `path` is where getFile says that it can be downloaded.
    """

    file_id: str
    kind: Kind
    name: str
    content: bytes
    path: str
    width: int = 0
    height: int = 0

    @property
    def described(self) -> dict[str, Any]:
        """The file as getFile describes it."""
        return {
            "file_id": self.file_id,
            "file_unique_id": self.file_id[-16:],
            "file_size": len(self.content),
        }

    @property
    def as_media(self) -> dict[str, Any]:
        """The field of a message that shows the file."""
        if self.kind == "photo":
            return {"photo": [{**self.described, "width": self.width, "height": self.height}]}
        kind = media_type(self.content)
        return {"document": {**self.described, "file_name": self.name, "mime_type": kind}}


def measure_photo(content: bytes) -> tuple[int, int]:
    """Return width and height of a photo in pixels.

    The limits are those of the Bot API's sendPhoto: 10 MB, width and height together at most 10000,
    their ratio at most 20.

    Raises:
        ApiError: Telegram would refuse this photo.
    """
    if not content:
        raise bad_request("file must be non-empty")
    if len(content) > MAX_PHOTO_BYTES:
        raise bad_request(
            f"file of size {len(content)} bytes is too big for a photo; "
            f"the maximum size is {MAX_PHOTO_BYTES} bytes"
        )
    width, height = _size(content)
    is_too_long = max(width, height) > _MAX_RATIO * min(width, height)
    if width + height > _MAX_SIDES or is_too_long:
        raise errors.photo_dimensions()
    return width, height


def _size(content: bytes) -> tuple[int, int]:
    try:
        with Image.open(BytesIO(content)) as image:
            return image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise errors.photo_dimensions() from error
    except (OSError, ValueError, SyntaxError) as error:
        raise errors.image_process_failed() from error


def media_type(content: bytes) -> str:
    """Return the media type by the file's first bytes; an unknown one is served as a download."""
    found = (kind for start, kind in _SIGNATURES.items() if content.startswith(start))
    return next(found, "application/octet-stream")
