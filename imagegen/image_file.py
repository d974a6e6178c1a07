"""Is it a picture, and what must not travel with it: bytes from a host → bytes to send; pure."""

import ctypes
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image

from imagegen.errors import Rejected

# Larger than anything that a persona's workflow makes or a chat shows.
MAX_SIDE = 8192
MAX_BYTES = 50 * 2**20

_PNG = b"\x89PNG\r\n\x1a\n"
# Chunks that the picture itself needs. Text chunks hold the prompt and the whole workflow.
_KEPT_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP"}
_FORMATS = ("PNG", "JPEG", "WEBP")
# Pillow's own judgement by pixels, made before ours by sides: a warning, then an error.
_TOO_MANY_PIXELS = (Image.DecompressionBombWarning, Image.DecompressionBombError)
# What Pillow raises for broken files, some of it from below.
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error, zlib.error)
# mallopt(3): where glibc begins; by itself it moves the limit up to whatever was freed once.
_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 128 * 1024


class BadImage(Rejected):
    """The host's file is no picture."""

    code = "picture_broken"


class ImageTooLarge(Rejected):
    """The host's file is larger than anything that a chat takes."""

    code = "picture_too_large"


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """A picture without metadata; sides in pixels, `format` one of png, jpeg, webp."""

    data: bytes
    format: str
    width: int
    height: int


def read(data: bytes) -> ImageFile:
    """Check a picture and strip its metadata. Takes tens of milliseconds: call it in a thread.

    Raises BadPicture or PictureTooLarge.
    """
    if len(data) > MAX_BYTES:
        raise ImageTooLarge(f"the picture has {len(data)} bytes")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            # The header alone tells; nothing is unpacked yet.
            if max(image.size) > MAX_SIDE:
                raise ImageTooLarge(f"the picture has {image.width} × {image.height} pixels")
            image.load()
            return ImageFile(
                data=_without_metadata(data, image),
                format=str(image.format).lower(),
                width=image.width,
                height=image.height,
            )
    except _TOO_MANY_PIXELS as error:
        raise ImageTooLarge("the picture has too many pixels") from error
    except _BROKEN as error:
        raise BadImage(f"the host's file is no picture: {type(error).__name__}") from error


def _without_metadata(data: bytes, image: Image.Image) -> bytes:
    if image.format == "PNG":
        # The pixels stay as they are; to encode them anew would take a hundred times as long.
        return _PNG + b"".join(chunk for kind, chunk in _chunks(data) if kind in _KEPT_CHUNKS)
    colours = image.info.get("icc_profile")
    # Some of it would be written again without being asked for, a JPEG's comment for one.
    image.info.clear()
    out = io.BytesIO()
    image.save(out, image.format, quality=95, icc_profile=colours)
    return out.getvalue()


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give the chunks up to the end of the picture; what follows it belongs to nobody."""
    start, kind = len(_PNG), b""
    while kind != b"IEND":
        # Raises struct.error where the file breaks off.
        (length,) = struct.unpack_from(">I", data, start)
        kind, end = data[start + 4 : start + 8], start + 12 + length
        yield kind, data[start:end]
        start = end


def give_large_memory_back() -> None:
    """Let all that is larger than 128 KiB go back to the system as soon as it is freed.

    For a process that is ours alone. Elsewhere than with glibc (mallopt(3)) this changes nothing.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
