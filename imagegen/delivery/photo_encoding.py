"""The forms in which a picture is sent: as it is, encoded so that Telegram accepts it, as a document."""

import io
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from PIL import ImageOps

from imagegen import image_file
from imagegen.delivery.ai_mark import CornerMark, caption_line, corner_mark
from imagegen.delivery.message import AiMark, PhotoFile, PhotoMessage

# Telegram shows no photo larger than this, and makes a larger one smaller itself.
_MAX_SIDE = 2560
# The longer side is at most 20 times the shorter one; see imagegen/delivery/message.py.
_MAX_RATIO = 20
# Telegram encodes it once more, at a lower quality. 2560 × 2560 pixels of noise, the worst case, are
# 8.2 MB, of 10 that Telegram accepts.
_QUALITY = 95


async def photo_forms(
    message: PhotoMessage, *, mark: AiMark, language: str | None
) -> AsyncIterator[PhotoMessage]:
    """Yield the picture as the photo it is, as a small JPEG, and as a document, to be tried in turn.

    All pictures of an album have the same form.

    A mark in the corner is drawn into the JPEG, which is then the first form; `language` is that of
    the person who sees it. A document has the line below the caption instead, since its file stays
    as it was drawn. It has no spoiler either, so a picture that needs one is never a document, unless
    its user has asked for the file.
    """
    if message.is_document:
        yield message
        return
    drawn_mark = corner_mark(language) if mark.is_in_corner else None
    if drawn_mark is None and all(file.fits_a_photo for file in message.files):
        yield message
    encode = partial(as_jpeg_photo, mark=drawn_mark)
    first, *others = [await _as_jpeg(file, encode) for file in message.files]
    yield replace(message, **first, album=tuple(PhotoFile(**each) for each in others))
    if not message.has_spoiler:
        last_line = message.last_line if drawn_mark is None else caption_line(language)
        yield replace(message, is_document=True, last_line=last_line)


async def preview_photo(preview: bytes, *, mark: AiMark, language: str | None) -> bytes:
    """Return a host's preview as a photo that says what it is, as the picture will.

    Raises:
        BadImage, ImageTooLarge: it is no image that may be decoded.
    """
    drawn_mark = corner_mark(language) if mark.is_in_corner else None
    return await image_file.in_thread(partial(_as_preview, mark=drawn_mark), preview)


def _as_preview(data: bytes, *, mark: CornerMark | None) -> bytes:
    return as_jpeg_photo(image_file.check_and_strip(data).data, mark=mark)[0]


async def _as_jpeg(
    file: PhotoFile, encode: Callable[[bytes], tuple[bytes, int, int]]
) -> dict[str, Any]:
    """Return the fields of a file as a small JPEG."""
    data, width, height = await image_file.in_thread(encode, file.data)
    name = file.filename.partition(".")[0]
    return {"data": data, "width": width, "height": height, "filename": f"{name}.jpeg"}


def as_jpeg_photo(data: bytes, *, mark: CornerMark | None = None) -> tuple[bytes, int, int]:
    """Return the picture as a small JPEG, with its width and height in pixels.

    A picture that is longer than Telegram accepts gets black margins. `mark` is drawn into its
    corner. The file says that a machine made it, as the one before did. `data` is an image that
    `imagegen/image_file.py` has checked. Takes tens of milliseconds: see its `in_thread`.

    Raises:
        BadImage: its pixels cannot be decoded, of which only this finds out.
    """
    with image_file.opened(data) as image:
        image.thumbnail((_MAX_SIDE, _MAX_SIDE))
        photo = image.convert("RGB")
    shortest = -(-max(photo.size) // _MAX_RATIO)
    if min(photo.size) < shortest:
        width, height = photo.size
        photo = ImageOps.pad(photo, (max(width, shortest), max(height, shortest)))
    if mark is not None:
        mark.draw(photo)
    encoded = io.BytesIO()
    photo.save(encoded, "JPEG", quality=_QUALITY, xmp=image_file.AI_MADE_XMP)
    return encoded.getvalue(), photo.width, photo.height
