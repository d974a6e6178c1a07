"""Image files for tests, and what is written into them."""

import io
import xml.etree.ElementTree as ET

from PIL import Image

_DIGITAL_SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
AI_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def png(width: int = 8, height: int = 8) -> bytes:
    """Return a PNG of one colour."""
    encoded = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(encoded, "PNG")
    return encoded.getvalue()


def digital_source_type(data: bytes) -> str | None:
    """Return the IPTC property of this name in the XMP of an image file; None if it has none."""
    with Image.open(io.BytesIO(data)) as image:
        packet = image.info.get("xmp")
    return None if packet is None else ET.fromstring(packet).findtext(f".//{_DIGITAL_SOURCE_TYPE}")  # noqa: S314
