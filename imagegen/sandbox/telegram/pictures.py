"""What Telegram accepts as a photo."""

from io import BytesIO

from PIL import Image

from imagegen.sandbox.telegram.refusals import bad_request

MAX_PHOTO_BYTES = 10 * 1024 * 1024
_MAX_SIDES = 10_000
_MAX_RATIO = 20
_SIGNATURES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
    b"GIF8": "image/gif",
}


def measure(content: bytes) -> tuple[int, int]:
    """Return width and height of a photo; raises ApiError for one that Telegram refuses."""
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
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return width, height


def media_type(content: bytes) -> str:
    """Return the type to show a picture under; anything else is only offered as a file."""
    found = (kind for start, kind in _SIGNATURES.items() if content.startswith(start))
    return next(found, "application/octet-stream")


def _size(content: bytes) -> tuple[int, int]:
    try:
        with Image.open(BytesIO(content)) as image:
            return image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise bad_request("PHOTO_INVALID_DIMENSIONS") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise bad_request("IMAGE_PROCESS_FAILED") from error
