"""Tells people that a machine made the picture: a mark in its corner, or a line below it.

Telegram removes the metadata of a photo, and with it the mark that programs read
(`imagegen/image_file.py`).
"""

from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont, ImageOps

from chatflow_hook.messages import language_code

# Plain letters, so that they mean the same in HTML and in MarkdownV2.
_CAPTION_LINES = {"en": "Picture made by AI", "ru": "Картинка создана ИИ"}

# The size of the letters, as shares of the shorter and of the longer side of the picture; the greater
# counts, up to a part of the shorter side. A phone shows a picture about 350 points wide; in one of
# 1024 × 1280 pixels the letters then have the size of a 12 point font.
_OF_SHORTER_SIDE = 0.036
_OF_LONGER_SIDE = 0.028
_AT_MOST_OF_SHORTER_SIDE = 0.25
# All other lengths are shares of the size of the letters.
_STROKE = 0.04
_PADDING_X = 0.5
_PADDING_Y = 0.36
_RADIUS = 0.4
_OUTLINE = 0.06
_MARGIN = 0.8
# White on dark glass with a light edge: it stands out on white as well as on black.
_INK = (255, 255, 255, 255)
_GLASS = (0, 0, 0, 170)
_EDGE = (255, 255, 255, 110)
# Pillow draws round corners without smooth edges, so the mark is drawn so many times larger.
_OVERSAMPLING = 4


@dataclass(frozen=True, kw_only=True)
class CornerMark:
    """The letters that are drawn into the corner of a picture, and whether they are mirrored."""

    letters: str
    is_mirrored: bool = False

    def draw(self, picture: Image.Image) -> None:
        """Draw the mark into the lower left corner; Telegram writes the time into the right one."""
        size = _font_size(picture.size)
        badge = _badge(self, size)
        margin = round(size * _MARGIN)
        picture.paste(badge, (margin, picture.height - margin - badge.height), badge)


# The font that comes with Pillow has no Cyrillic; ИИ is NN in a mirror.
_CORNER_MARKS = {"en": CornerMark(letters="AI"), "ru": CornerMark(letters="NN", is_mirrored=True)}


def caption_line(language: str | None) -> str:
    """Return the line below a caption; `language` is a code such as `ru-RU`, or None for English."""
    return _CAPTION_LINES.get(language_code(language), _CAPTION_LINES["en"])


def corner_mark(language: str | None) -> CornerMark:
    """Return the mark for a corner: AI, or ИИ for a language such as `ru-RU`."""
    return _CORNER_MARKS.get(language_code(language), _CORNER_MARKS["en"])


def _font_size(sides: tuple[int, int]) -> int:
    short, long = sorted(sides)
    wanted = max(short * _OF_SHORTER_SIDE, long * _OF_LONGER_SIDE)
    return max(1, round(min(wanted, short * _AT_MOST_OF_SHORTER_SIDE)))


# Nearly all pictures have one of a few sizes.
@lru_cache(maxsize=16)
def _badge(mark: CornerMark, size: int) -> Image.Image:
    unit = size * _OVERSAMPLING
    text = _text(mark, unit)
    badge = Image.new(
        "RGBA",
        (text.width + round(2 * unit * _PADDING_X), text.height + round(2 * unit * _PADDING_Y)),
    )
    ImageDraw.Draw(badge).rounded_rectangle(
        (0, 0, badge.width - 1, badge.height - 1),
        radius=unit * _RADIUS,
        fill=_GLASS,
        outline=_EDGE,
        width=round(unit * _OUTLINE),
    )
    badge.paste(_INK, (round(unit * _PADDING_X), round(unit * _PADDING_Y)), text)
    return badge.resize(
        (max(1, badge.width // _OVERSAMPLING), max(1, badge.height // _OVERSAMPLING)),
        Image.Resampling.LANCZOS,
    )


def _text(mark: CornerMark, unit: int) -> Image.Image:
    """Return a mask of the letters, without any margin."""
    font, stroke = ImageFont.load_default(unit), round(unit * _STROKE)
    ruler = ImageDraw.Draw(Image.new("L", (1, 1)))
    left, top, right, bottom = ruler.textbbox((0, 0), mark.letters, font=font, stroke_width=stroke)
    text = Image.new("L", (round(right - left), round(bottom - top)))
    ImageDraw.Draw(text).text((-left, -top), mark.letters, fill=255, font=font, stroke_width=stroke)
    return ImageOps.mirror(text) if mark.is_mirrored else text
