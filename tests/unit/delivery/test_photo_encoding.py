"""Any picture becomes a file that Telegram accepts as a photo."""

import io

import pytest
from PIL import Image

from imagegen.delivery.message import PhotoMessage
from imagegen.delivery.photo_encoding import as_jpeg_photo


@pytest.mark.parametrize(
    ("mode", "size", "sides"),
    [
        ("RGB", (6000, 5000), (2560, 2133)),
        ("RGBA", (300, 200), (300, 200)),
        ("P", (4000, 100), (2560, 128)),
        ("L", (10, 4000), (128, 2560)),
    ],
)
def test_it_is_a_jpeg_within_the_limits(
    mode: str, size: tuple[int, int], sides: tuple[int, int]
) -> None:
    png = io.BytesIO()
    Image.new(mode, size).save(png, "PNG")

    data, width, height = as_jpeg_photo(png.getvalue())

    with Image.open(io.BytesIO(data)) as photo:
        assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", sides)
    message = PhotoMessage(chat_id=1, data=data, filename="a.jpeg", width=width, height=height)
    assert message.fits_a_photo
