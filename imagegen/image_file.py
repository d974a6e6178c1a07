"""Checks the image file that a host made, and strips its metadata. Pure: bytes in, bytes out."""

import ctypes
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image

from imagegen.errors import Rejected

# Pixels and bytes. Larger than anything that a persona's workflow makes or a chat shows.
MAX_SIDE = 8192
MAX_BYTES = 50 * 2**20

_PNG = b"\x89PNG\r\n\x1a\n"
# The PNG chunks that are needed to show the image. ComfyUI writes the prompt and the whole workflow
# into text chunks, which must not be sent to a chat.
_KEPT_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP"}
_FORMATS = ("PNG", "JPEG", "WEBP")
# Pillow's own limits by the number of pixels, checked before our limit by sides: first a warning,
# then an error.
_TOO_MANY_PIXELS = (Image.DecompressionBombWarning, Image.DecompressionBombError)
# What Pillow raises for broken files, some of it from the modules that it uses.
_BROKEN_FILE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
)
# mallopt(3): glibc starts with this threshold, and raises it to the size of the largest block that
# was freed.
_M_MMAP_THRESHOLD = -3
_MMAP_THRESHOLD_BYTES = 128 * 1024


class BadImage(Rejected):
    """The host's file is no image that can be read: PNG, JPEG or WebP."""

    code = "picture_broken"


class ImageTooLarge(Rejected):
    """The host's file is longer than MAX_BYTES or has a side of more than MAX_SIDE pixels."""

    code = "picture_too_large"


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """An image without metadata; width and height in pixels, `format` is png, jpeg or webp."""

    data: bytes
    format: str
    width: int
    height: int


def read(data: bytes) -> ImageFile:
    """Check an image file and strip its metadata. Takes tens of milliseconds: call it in a thread.

    The pixels of a PNG stay as they are. JPEG and WebP are encoded again. Of an animation the first
    image stays.

    Raises:
        BadImage: the file cannot be read as PNG, JPEG or WebP.
        ImageTooLarge: it has more than MAX_BYTES bytes, a side of more than MAX_SIDE pixels, or
            more pixels than Pillow accepts.
    """
    if len(data) > MAX_BYTES:
        raise ImageTooLarge(f"the picture has {len(data)} bytes")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            # Only the header has been read; nothing is decompressed yet.
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
    except _BROKEN_FILE_ERRORS as error:
        raise BadImage(f"the host's file is no picture: {type(error).__name__}") from error


def _without_metadata(data: bytes, image: Image.Image) -> bytes:
    if image.format == "PNG":
        # The compressed pixels are copied; to encode them again would take a hundred times as long.
        return _PNG + b"".join(chunk for kind, chunk in _chunks(data) if kind in _KEPT_CHUNKS)
    colour_profile = image.info.get("icc_profile")
    # Pillow would write some of it again, for example the comment of a JPEG.
    image.info.clear()
    encoded = io.BytesIO()
    image.save(encoded, image.format, quality=95, icc_profile=colour_profile)
    return encoded.getvalue()


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and bytes of each chunk up to IEND. What follows it is not part of the image."""
    start, kind = len(_PNG), b""
    while kind != b"IEND":
        # Raises struct.error if the file is truncated.
        (length,) = struct.unpack_from(">I", data, start)
        kind, end = data[start + 4 : start + 8], start + 12 + length
        yield kind, data[start:end]
        start = end


def give_large_memory_back() -> None:
    """Make glibc return blocks of more than 128 KiB to the system as soon as they are freed.

    Decoded images are that large. It holds for the whole process, so call it only in a process of
    our own. Does nothing on a system without glibc. May be called twice.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
