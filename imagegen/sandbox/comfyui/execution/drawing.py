"""The image that the sandbox draws: a portrait by persona and seed, with a caption."""

import io
import random
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from imagegen.sandbox.comfyui.execution.backdrop import Backdrop
from imagegen.sandbox.comfyui.execution.colours import Colour, blended, coloured
from imagegen.sandbox.comfyui.execution.node_context import PaintedScene
from imagegen.sandbox.comfyui.execution.portrait_look import Cut, PortraitLook, portrait_look

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


Point = tuple[float, float]


# The built-in font has no Cyrillic: Russian text is written in Latin letters, not as boxes.
_LATIN = (
    "a b v g d e zh z i y k l m n o p r s t u f kh ts ch sh shch",
    "", "y", "", "e", "yu", "ya",
)  # fmt: skip


_CYRILLIC = dict(
    zip("абвгдежзийклмнопрстуфхцчшщъыьэюя", [*_LATIN[0].split(), *_LATIN[1:]], strict=True)
)


_CYRILLIC["ё"] = "yo"


_PUNCTUATION = {"—": "-", "–": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "№": "No."}


# Drawn with this longer side in pixels and then scaled: faster, and with softer edges. These are soft
# enough if the sketch of a small image is twice as large.
_SKETCH_SIDE = 768


_INK: Colour = (38, 30, 42)


def paint_portrait(scene: PaintedScene, size: tuple[int, int]) -> Image.Image:
    """Draw a scene; the same scene and size (in pixels) give the same image."""
    width, height = size
    scale = min(_SKETCH_SIDE / max(size), 2.0)
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    look, rng = portrait_look(scene.persona, scene.text), random.Random(scene.seed)  # noqa: S311 a picture, no secret
    sketch = Backdrop(small, scene.text, hue=look.hue, rng=rng).draw()
    _Portrait(sketch, look, rng).draw()
    image = sketch.resize(size, Image.Resampling.BICUBIC)
    _caption(image, scene)
    return image


def paint_preview(scene: PaintedScene, size: tuple[int, int], fraction: float) -> bytes:
    """Draw a scene after that `fraction` of its steps, as a small JPEG."""
    # As small as a latent, and blurred more at the first steps than at the last.
    width, height = (max(1, side // 8) for side in size)
    image = paint_portrait(scene, (width, height))
    jpeg = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(8 * (1 - fraction))).save(jpeg, "JPEG", quality=80)
    return jpeg.getvalue()


class _Portrait:
    """Draws one person before a backdrop; lengths are fractions of the image's shorter side."""

    def __init__(self, backdrop: Image.Image, look: PortraitLook, rng: random.Random) -> None:
        self._pen = ImageDraw.Draw(backdrop)
        self._width, self._height = backdrop.size
        self._unit = min(backdrop.size)
        self._look = look
        self._rng = rng

    def draw(self) -> None:
        lean = self._rng.uniform(-0.06, 0.06) * self._unit
        middle = self._width / 2 + lean
        eyes = self._height * 0.40
        self._hair_behind(middle, eyes)
        self._shoulders(middle, eyes)
        self._face(middle, eyes)

    def _hair_behind(self, x: float, y: float) -> None:
        unit, hair = self._unit, self._look.hair
        self._oval((x, y - 0.04 * unit), 0.190, 0.215, hair)
        match self._look.cut:
            case Cut.LONG:
                self._oval((x, y + 0.17 * unit), 0.215, 0.34, hair)
            case Cut.BUN:
                self._circle((x, y - 0.27 * unit), 0.085, hair)
            case Cut.BOB:
                self._oval((x, y + 0.06 * unit), 0.225, 0.205, hair)
            case Cut.PONYTAIL:
                self._oval((x + 0.21 * unit, y + 0.12 * unit), 0.075, 0.25, hair)
            case Cut.SHORT:
                pass

    def _shoulders(self, x: float, y: float) -> None:
        unit = self._unit
        self._oval((x, y + 0.26 * unit), 0.062, 0.14, blended(self._look.skin, (0, 0, 0), 0.12))
        dress = coloured(self._look.hue + 0.5, 0.55, 0.85)
        self._oval((x, y + 0.66 * unit), 0.36, 0.36, dress)
        pale = coloured(self._look.hue + 0.5, 0.25, 0.98)
        for step in range(-3, 4):
            at = x + step * 0.085 * unit
            if self._look.pattern == 1:
                self._circle((at, y + (0.46 + 0.05 * (step % 2)) * unit), 0.016, pale)
            if self._look.pattern == 2:
                self._pen.line(
                    [(at, y + 0.40 * unit), (at, y + 0.62 * unit)],
                    fill=pale,
                    width=max(1, round(0.012 * unit)),
                )

    def _face(self, x: float, y: float) -> None:
        unit = self._unit
        self._oval((x, y + 0.02 * unit), 0.140, 0.175, self._look.skin)
        if self._look.has_beard:
            shadow = blended(self._look.skin, self._look.hair, 0.35)
            self._oval((x, y + 0.09 * unit), 0.118, 0.105, shadow)
            self._oval((x, y + 0.02 * unit), 0.122, 0.072, self._look.skin)
        # The parting of the hair depends on the seed.
        parting = self._rng.uniform(-0.02, 0.02) * unit
        self._oval((x + parting, y - 0.135 * unit), 0.140, 0.075, self._look.hair)
        for side in (-1, 1):
            self._oval((x + side * 0.055 * unit, y), 0.017, 0.020, _INK)
            blush = blended(self._look.skin, (230, 90, 90), 0.3)
            self._circle((x + side * 0.085 * unit, y + 0.06 * unit), 0.022, blush)
        if self._look.has_glasses:
            self._glasses(x, y)
        smile = self._rng.uniform(0.03, 0.055) * unit
        mouth = (x - smile, y + 0.05 * unit, x + smile, y + 0.11 * unit)
        self._pen.arc(mouth, 15, 165, fill=(170, 50, 60), width=max(1, round(0.012 * unit)))

    def _glasses(self, x: float, y: float) -> None:
        wide, line = 0.042 * self._unit, max(1, round(0.008 * self._unit))
        for side in (-1, 1):
            middle = x + side * 0.055 * self._unit
            self._pen.ellipse((middle - wide, y - wide, middle + wide, y + wide), None, _INK, line)

    def _circle(self, centre: Point, radius: float, colour: Colour) -> None:
        self._oval(centre, radius, radius, colour)

    def _oval(self, centre: Point, wide: float, high: float, colour: Colour) -> None:
        (x, y), wide, high = centre, wide * self._unit, high * self._unit
        self._pen.ellipse((x - wide, y - high, x + wide, y + high), fill=colour)


def _caption(image: Image.Image, scene: PaintedScene) -> None:
    width, height = image.size
    unit = min(image.size)
    if unit < 160:
        return
    edge = round(unit * 0.045)
    title, small = round(unit * 0.062), round(unit * 0.034)
    lines = fit_lines(scene.text, width=width - 2 * edge, size=small, max_lines=2)
    rows = [(writable(scene.persona) or "?", title), (f"seed {scene.seed}", small)]
    rows += [(line, small) for line in lines]
    panel = round(sum(size * 1.3 for _, size in rows) + edge)
    _darken(image, (0, height - panel, width, height))
    _write_rows(ImageDraw.Draw(image), rows, edge, height - panel + edge / 2)


def fit_lines(text: str, *, width: float, size: int, max_lines: int) -> list[str]:
    """Break a text into at most `max_lines` lines of `width` pixels; ` ...` marks a text cut off."""
    lines: list[str] = []
    words = writable(text).split()
    while words and len(lines) < max_lines:
        count = _words_that_fit(words, width, size)
        lines.append(" ".join(words[:count]))
        words = words[count:]
    if words:
        lines[-1] += " ..."
    return lines


def _words_that_fit(words: list[str], width: float, size: int) -> int:
    count = 1
    while count < len(words) and font(size).getlength(" ".join(words[: count + 1])) <= width:
        count += 1
    return count


def writable(text: str) -> str:
    """Transliterate a text into characters that the font has; all others are left out."""
    return " ".join("".join(_transliterate(text)).split())


def _transliterate(text: str) -> Iterator[str]:
    for character in text:
        if (low := character.lower()) in _CYRILLIC:
            latin = _CYRILLIC[low]
            yield latin if character == low else latin.capitalize()
        elif character in _PUNCTUATION:
            yield _PUNCTUATION[character]
        elif character.isspace():
            yield " "
        else:
            plain = unicodedata.normalize("NFKD", character)
            yield "".join(part for part in plain if part.isascii() and part.isprintable())


@lru_cache(maxsize=32)
def font(size: int) -> Font:
    """Return Pillow's built-in font in a size in pixels."""
    return ImageFont.load_default(size)


def _darken(image: Image.Image, box: tuple[int, int, int, int]) -> None:
    part = image.crop(box)
    image.paste(Image.blend(part, Image.new("RGB", part.size, _INK), 0.72), box)


def _write_rows(
    pen: ImageDraw.ImageDraw, rows: Iterable[tuple[str, int]], x: float, y: float
) -> None:
    for text, size in rows:
        pen.text((x, y), text, fill=(250, 244, 236), font=font(size))
        y += size * 1.3
