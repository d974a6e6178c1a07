"""The mark in the corner can be seen on every picture, and covers little of it."""

import pytest
from PIL import Image, ImageChops, ImageOps

from imagegen.delivery.ai_mark import caption_line, corner_mark

SIZE = (1024, 1280)


def _marked(colour: str, language: str = "en", size: tuple[int, int] = SIZE) -> Image.Image:
    picture = Image.new("RGB", size, colour)
    corner_mark(language).draw(picture)
    return picture


def _box(picture: Image.Image, colour: str) -> tuple[int, int, int, int]:
    """Return the place of everything that has not the colour of the picture."""
    box = ImageChops.difference(picture, Image.new("RGB", picture.size, colour)).getbbox()
    assert box is not None
    return box


def _luminance(grey: int) -> float:
    """Return the relative luminance of WCAG 2.2."""
    share = grey / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


@pytest.mark.parametrize("colour", ["white", "black", "gray"])
def test_its_letters_have_the_contrast_that_small_text_needs(colour: str) -> None:
    picture = _marked(colour).convert("L")
    left, top, right, bottom = _box(picture.convert("RGB"), colour)
    middle = (top + bottom) // 2

    row = picture.crop((left + 8, middle, right - 8, middle + 1)).tobytes()

    ink, glass = max(row), min(row)
    assert ink == 255
    # WCAG 2.2, success criterion 1.4.3.
    assert (_luminance(ink) + 0.05) / (_luminance(glass) + 0.05) >= 4.5


@pytest.mark.parametrize("size", [SIZE, (1280, 1024), (640, 1536), (1536, 640), (320, 400)])
def test_it_is_small_and_in_the_lower_left_corner(size: tuple[int, int]) -> None:
    left, top, right, bottom = _box(_marked("teal", size=size), "teal")

    assert (right - left) * (bottom - top) < 0.01 * size[0] * size[1]
    assert right < size[0] / 4
    assert top > size[1] * 3 / 4
    # 350 points wide on a phone, letters of two thirds of the mark's height.
    assert (bottom - top) * 350 / size[0] * 2 / 3 >= 8


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (2560, 128), (128, 2560), (2560, 2560)])
def test_every_size_can_be_marked(size: tuple[int, int]) -> None:
    assert _marked("teal", size=size).size == size


def test_in_russian_it_is_written_in_russian_letters() -> None:
    russian = _marked("teal", "ru-RU")
    box = _box(russian, "teal")

    # И И is N N in a mirror, and nothing like A I.
    mirrored = ImageOps.mirror(russian.crop(box))

    assert ImageChops.difference(mirrored, russian.crop(box)).getbbox() is not None
    assert box != _box(_marked("teal", "en"), "teal")
    assert caption_line("ru-RU") == "Картинка создана ИИ"


def test_other_languages_are_told_in_english() -> None:
    assert corner_mark("de") == corner_mark(None) == corner_mark("en")
    assert caption_line("de") == caption_line(None) == "Picture made by AI"
