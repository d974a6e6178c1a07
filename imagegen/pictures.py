"""Is it a picture, and what must not travel with it: bytes from a host → bytes to send; pure."""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from imagegen.errors import Rejected

# Larger than anything that a persona's workflow makes or a chat shows.
MAX_SIDE = 8192
MAX_BYTES = 50 * 2**20

_PNG = b"\x89PNG\r\n\x1a\n"
# Chunks that the picture itself needs. Text chunks hold the prompt and the whole workflow.
_KEPT_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP"}
_FORMATS = ("PNG", "JPEG", "WEBP")


class BadPicture(Rejected):
    """The host's file is no picture."""

    code = "picture_broken"


class HugePicture(Rejected):
    """The host's file is larger than anything that a chat takes."""

    code = "picture_too_large"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture without metadata; sides in pixels, `format` one of png, jpeg, webp."""

    data: bytes
    format: str
    width: int
    height: int


def read(data: bytes) -> Picture:
    """Check a picture and strip its metadata. Takes tens of milliseconds: call it in a thread.

    Raises BadPicture or HugePicture.
    """
    if len(data) > MAX_BYTES:
        raise HugePicture(f"the picture has {len(data)} bytes")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if max(image.size) > MAX_SIDE:
                raise HugePicture(f"the picture has {image.width} × {image.height} pixels")
            image.load()
            return Picture(
                data=_stripped(data, image),
                format=str(image.format).lower(),
                width=image.width,
                height=image.height,
            )
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        raise BadPicture(f"the host's file is no picture: {type(error).__name__}") from error
    except SyntaxError as error:  # Pillow's word for a broken PNG
        raise BadPicture("the host's file is a broken picture") from error


def _stripped(data: bytes, image: Image.Image) -> bytes:
    if image.format == "PNG":
        # The pixels stay as they are; to encode them anew would take a hundred times as long.
        return _PNG + b"".join(chunk for kind, chunk in _chunks(data) if kind in _KEPT_CHUNKS)
    out = io.BytesIO()
    image.save(out, image.format, quality=95, icc_profile=image.info.get("icc_profile"))
    return out.getvalue()


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = len(_PNG)
    while start + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, start)
        end = start + 12 + length
        yield data[start + 4 : start + 8], data[start:end]
        start = end
