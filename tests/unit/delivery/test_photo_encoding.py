"""Any picture becomes a file that Telegram accepts as a photo, and keeps what it says of itself."""

import io

import pytest
from PIL import Image, ImageChops

from imagegen.delivery.ai_mark import corner_mark
from imagegen.delivery.message import PhotoMessage
from imagegen.delivery.photo_encoding import as_jpeg_photo
from tests.support import pictures


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


def test_it_says_that_a_machine_made_it() -> None:
    data, _, _ = as_jpeg_photo(pictures.png())

    assert pictures.digital_source_type(data) == pictures.AI_MADE


@pytest.mark.parametrize("size", [(600, 400), (2700, 900), (4000, 100)])
def test_a_mark_is_drawn_into_the_photo_that_is_sent(size: tuple[int, int]) -> None:
    png = pictures.png(*size)

    plain, *_ = as_jpeg_photo(png)
    marked, width, height = as_jpeg_photo(png, mark=corner_mark("en"))

    with Image.open(io.BytesIO(plain)) as before, Image.open(io.BytesIO(marked)) as after:
        assert after.size == (width, height)
        left, top, right, bottom = ImageChops.difference(before, after).getbbox() or (0,) * 4
    # A JPEG changes in blocks of 16 pixels.
    assert left < right < width / 2
    assert height / 3 < top < bottom <= height
