"""Checks the image file that a host made, and replaces its metadata: bytes in, bytes out.

The only metadata that an image of ours has says that a machine made it.

A host may send any bytes, so what a file can cost is bounded before it is decoded.
"""

import asyncio
import hashlib
import io
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TypeVar

from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo, putchunk

from imagegen.errors import Rejected

ResultT = TypeVar("ResultT")

# Pixels and bytes. Larger than anything that a persona's workflow makes or a chat shows.
MAX_SIDE = 8192
# Enough for 1024 × 1280 pixels that are enlarged four times. A PNG with this many takes 140 MiB while
# it is read, a WebP 600 MiB and two seconds.
MAX_PIXELS = 2**25
MAX_BYTES = 50 * 2**20

# A file of MAX_BYTES has room for millions of these, and each costs time or memory. Encoders write
# about ten scans of a JPEG, and chunks of a PNG of 8 KiB or more.
_MAX_SCANS = 100
_MAX_CHUNKS = 20_000
_JPEG = b"\xff\xd8"
_JPEG_SCAN = b"\xff\xda"

# Threads of their own, so that images that wait for each other hold back no other work, such as the
# look-up of names. How much memory they take together is bounded by `decoding`.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="image")

_PNG = b"\x89PNG\r\n\x1a\n"
# The PNG chunks that are needed to show the image. ComfyUI writes the prompt and the whole workflow
# into text chunks, which must not be sent to a chat.
_KEPT_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP"}
_FORMATS = ("PNG", "JPEG", "WEBP")

# XMP, the metadata of all three formats, with one property of the IPTC Photo Metadata Standard
# (iptc.org/std/photometadata): the picture was created by a trained model.
AI_MADE_XMP = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <Iptc4xmpExt:DigitalSourceType>\
http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia\
</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>""".encode()
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


class _PixelsHeld:
    """How many pixels all threads hold; `turn` is held by the thread that is the next to get some."""

    def __init__(self) -> None:
        self.held = 0
        self.turn = threading.Lock()
        self.changed = threading.Condition()


_pixels = _PixelsHeld()


class BadImage(Rejected):
    """The host's file is no image that can be read: PNG, JPEG or WebP."""

    code = "picture_broken"


class ImageTooLarge(Rejected):
    """The host's file is longer than MAX_BYTES, or has more pixels than MAX_SIDE and MAX_PIXELS allow."""

    code = "picture_too_large"


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """An image whose metadata is AI_MADE_XMP; width and height in pixels, `format` is png, jpeg or webp."""

    data: bytes
    format: str
    width: int
    height: int

    @cached_property
    def sha256(self) -> str:
        """The hash of its bytes, in hexadecimal digits; made once, since it takes a millisecond."""
        return hashlib.sha256(self.data).hexdigest()


async def in_thread(work: Callable[[bytes], ResultT], data: bytes) -> ResultT:
    """Return `work(data)`, done in one of the few threads in which images are decoded.

    What `work` raises is raised. May be cancelled: work that has begun is then done to its end.
    """
    return await asyncio.get_running_loop().run_in_executor(_threads, work, data)


@contextmanager
def decoding(size: tuple[int, int]) -> Iterator[None]:
    """Hold the pixels of an image in memory during the block, MAX_PIXELS at most in all threads.

    Waits as long as the images that other threads hold leave too little room; who comes first gets
    it first, so that a large image is not passed by small ones for ever. `size` is width and height,
    MAX_PIXELS at most.
    """
    pixels = min(size[0] * size[1], MAX_PIXELS)
    with _pixels.turn, _pixels.changed:
        _pixels.changed.wait_for(lambda: _pixels.held + pixels <= MAX_PIXELS)
        _pixels.held += pixels
    try:
        yield
    finally:
        with _pixels.changed:
            _pixels.held -= pixels
            _pixels.changed.notify()


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """Open an image file for the block, which may decode it once; see `decoding`.

    Raises:
        BadImage: the file cannot be read as PNG, JPEG or WebP, here or in the block.
        ImageTooLarge: it has more than MAX_PIXELS pixels, or a side of more than MAX_SIDE pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            # Only the header has been read; nothing is decompressed yet.
            if max(image.size) > MAX_SIDE or image.width * image.height > MAX_PIXELS:
                raise ImageTooLarge(f"the picture has {image.width} × {image.height} pixels")
            with decoding(image.size):
                yield image
    except _TOO_MANY_PIXELS as error:
        raise ImageTooLarge("the picture has too many pixels") from error
    except _BROKEN_FILE_ERRORS as error:
        raise BadImage(f"the host's file is no picture: {type(error).__name__}") from error


def check_and_strip(data: bytes) -> ImageFile:
    """Check an image file and replace its metadata by AI_MADE_XMP. Takes milliseconds: see `in_thread`.

    The pixels of a PNG stay as they are and are not decoded: its checksums say whether it arrived
    whole. JPEG and WebP are encoded again. Of an animation the first image stays.

    Raises:
        BadImage: the file cannot be read as PNG, JPEG or WebP.
        ImageTooLarge: it has more than MAX_BYTES bytes or MAX_PIXELS pixels, or a side of more than
            MAX_SIDE pixels.
    """
    if len(data) > MAX_BYTES:
        raise ImageTooLarge(f"the picture has {len(data)} bytes")
    if data.startswith(_PNG):
        # Before Pillow reads it, since Pillow would also unpack the compressed texts.
        data = _with_our_chunks(data)
    elif data.startswith(_JPEG) and data.count(_JPEG_SCAN) > _MAX_SCANS:
        raise BadImage(f"the host's file is a JPEG of more than {_MAX_SCANS} scans")
    with opened(data) as image:
        image_file = _read(image, data)
    # Here, in the thread of the caller's choice, and not where it is first needed.
    _ = image_file.sha256
    return image_file


def _read(image: Image.Image, data: bytes) -> ImageFile:
    width, height = image.size
    # A JPEG with several images calls itself MPO.
    format_ = "JPEG" if image.format == "MPO" else str(image.format)
    if not isinstance(image, PngImageFile):
        data = _encoded_again(image, format_)
    elif not image.tile:  # it has no IDAT
        raise BadImage("the host's file is no picture: it has no pixels")
    return ImageFile(data=data, format=format_.lower(), width=width, height=height)


def _with_our_chunks(png: bytes) -> bytes:
    # The checksum of each chunk says whether it arrived whole. To decode it takes up to twenty times
    # as long, and would find only what the host itself has compressed wrongly.
    try:
        first, *others = (_checked(each) for kind, each in _chunks(png) if kind in _KEPT_CHUNKS)
    except _BROKEN_FILE_ERRORS as error:
        raise BadImage("the host's file is no picture: it breaks off") from error
    # IHDR has to stay the first chunk.
    return b"".join((_PNG, first, _ai_made_chunk(), *others))


def _checked(chunk: memoryview) -> memoryview:
    """Return a chunk whose checksum, over its type and its data, is right."""
    if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
        raise BadImage("the host's file is no picture: a checksum is wrong")
    return chunk


@cache
def _ai_made_chunk() -> bytes:
    texts, written = PngInfo(), io.BytesIO()
    texts.add_itxt("XML:com.adobe.xmp", AI_MADE_XMP.decode())
    for kind, body, *_ in texts.chunks:
        putchunk(written, kind, body)
    return written.getvalue()


def _encoded_again(image: Image.Image, format_: str) -> bytes:
    colour_profile = image.info.get("icc_profile")
    # Pillow would write some of it again, for example the comment of a JPEG.
    image.info.clear()
    encoded = io.BytesIO()
    image.save(encoded, format_, quality=95, icc_profile=colour_profile, xmp=AI_MADE_XMP)
    return encoded.getvalue()


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield type and bytes of each chunk up to IEND. What follows it is not part of the image."""
    start, kind, count = len(_PNG), b"", 0
    view = memoryview(data)  # whose slices are no copies
    while kind != b"IEND":
        if (count := count + 1) > _MAX_CHUNKS:
            raise BadImage(f"the host's file is a PNG of more than {_MAX_CHUNKS} chunks")
        # Raises struct.error if the file is truncated.
        (length,) = struct.unpack_from(">I", data, start)
        kind, end = data[start + 4 : start + 8], start + 12 + length
        if end > len(view):
            raise EOFError
        yield kind, view[start:end]
        start = end
