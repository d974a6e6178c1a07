"""Image files for tests."""

import io

from PIL import Image


def png(width: int = 8, height: int = 8) -> bytes:
    """Return a PNG of one colour."""
    encoded = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(encoded, "PNG")
    return encoded.getvalue()
