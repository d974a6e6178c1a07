"""Encodes a picture so that Telegram accepts it as a photo, whatever its file was before."""

import io

from PIL import Image, ImageOps

from imagegen import image_file
from imagegen.delivery.ai_mark import CornerMark

# Telegram shows no photo larger than this, and makes a larger one smaller itself.
_MAX_SIDE = 2560
# The longer side is at most 20 times the shorter one; see imagegen/delivery/message.py.
_MAX_RATIO = 20
_QUALITY = 90


def as_jpeg_photo(data: bytes, *, mark: CornerMark | None = None) -> tuple[bytes, int, int]:
    """Return the picture as a small JPEG, with its width and height in pixels.

    A picture that is longer than Telegram accepts gets black margins. `mark` is drawn into its
    corner. The file says that a machine made it, as the one before did. `data` is an image that
    `imagegen/image_file.py` has checked. Takes tens of milliseconds: see its `in_thread`.
    """
    with Image.open(io.BytesIO(data)) as image, image_file.decoding(image.size):
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
