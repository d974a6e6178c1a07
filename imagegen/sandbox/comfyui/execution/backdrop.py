"""What is behind the person of a drawn portrait: a place that the words of the prompt name."""

import random
import re
from collections.abc import Mapping
from enum import StrEnum, auto

from PIL import Image, ImageDraw

from imagegen.sandbox.comfyui.execution.colours import Colour, blended, coloured


class Place(StrEnum):
    """A kind of place."""

    ROOM = auto()
    SEA = auto()
    TREES = auto()
    HILLS = auto()
    CITY = auto()
    STUDIO = auto()


# Of two that have as many words, the first counts.
_WORDS: Mapping[Place, str] = {
    Place.ROOM: r"rooms?|home|loft|kitchen|caf[eé]|cabin|cottage|shelf|shelves|armchair|sofa|bed|lamp"
    r"|stove|bookshop|record shop|counter|bar|van|desk|table|sill|studio(?!-)|window(?! light)|indoors",
    Place.SEA: r"sea|seaside|beach|shore|harbour|boats?|waves?|coast|shingle|river|embankment|lake",
    Place.TREES: r"forest|trees?|park|garden|pines?|greenhouse|leaves|orchard|courtyard",
    Place.HILLS: r"hills?|hillside|trail|valley|mountains?|meadow",
    Place.CITY: r"streets?(?! photo)|city|buildings?|bridge|roof|terrace|plaza|crossing|traffic|lane|village"
    r"|in front of|staircase|embankment|neon|skyline",
}
_NIGHT = re.compile(r"\b(?:night|midnight|dusk|moonlight|neon|evening(?! dress))\b")


def place_of(prompt: str) -> Place:
    """Return the place that most words of a prompt name; a studio if none does."""
    words = prompt.lower()
    counts = {place: len(set(re.findall(rf"\b(?:{ws})\b", words))) for place, ws in _WORDS.items()}
    best = max(counts, key=lambda place: counts[place])
    return best if counts[best] else Place.STUDIO


class Backdrop:
    """Draws the place of a prompt; lengths are fractions of the image's sides."""

    def __init__(
        self, size: tuple[int, int], prompt: str, *, hue: float, rng: random.Random
    ) -> None:
        self._place, self._is_night = place_of(prompt), bool(_NIGHT.search(prompt.lower()))
        self._hue, self._rng, (self._width, self._height) = hue, rng, size
        self.image = self._air(size)
        self._pen = ImageDraw.Draw(self.image)

    def draw(self) -> Image.Image:
        """Draw and return it."""
        if self._place not in {Place.ROOM, Place.STUDIO}:
            self._sun()
        match self._place:
            case Place.ROOM:
                self._room()
            case Place.SEA:
                self._sea()
            case Place.TREES:
                self._trees()
            case Place.HILLS:
                self._hills()
            case Place.CITY:
                self._city()
            case Place.STUDIO:
                pass
        return self.image

    def _air(self, size: tuple[int, int]) -> Image.Image:
        """Return the sky, or the wall of a room."""
        hue = self._hue + self._rng.uniform(-0.04, 0.04)
        top, bottom = coloured(hue, 0.55, 0.72), coloured(hue + 0.08, 0.22, 0.98)
        if self._place is Place.ROOM:
            top, bottom = coloured(hue, 0.20, 0.86), coloured(hue, 0.30, 0.70)
        elif self._is_night:
            top, bottom = coloured(0.66, 0.60, 0.20), coloured(hue, 0.40, 0.50)
        steps = Image.linear_gradient("L").resize(size)
        return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), steps)

    def _sun(self) -> None:
        """Draw the sun, or the moon and stars."""
        light = (
            coloured(0.15, 0.12, 1.0) if self._is_night else coloured(self._hue + 0.12, 0.25, 1.0)
        )
        at = (self._rng.uniform(0.12, 0.88), self._rng.uniform(0.10, 0.30))
        self._disc(at, self._rng.uniform(0.05, 0.11), light)
        for _ in range(12 if self._is_night else 0):
            at = (self._rng.random(), self._rng.random() / 2)
            self._disc(at, self._rng.uniform(0.003, 0.007), light)

    def _room(self) -> None:
        self._box(0, 0.74, 1, 1, coloured(self._hue + 0.05, 0.45, 0.42))
        left = self._rng.choice((0.06, 0.64))
        frame, pane = (246, 240, 230), coloured(0.58, 0.30, 0.98)
        if self._is_night:
            pane = coloured(0.66, 0.60, 0.26)
        self._box(left, 0.10, left + 0.30, 0.44, frame)
        for x, y in ((0.015, 0.115), (0.155, 0.115), (0.015, 0.285), (0.155, 0.285)):
            self._box(left + x, y, left + x + 0.13, y + 0.14, pane)
        shelf = 0.66 if left < 0.5 else 0.04
        for level in (0.24, 0.40):
            self._box(shelf, level, shelf + 0.30, level + 0.012, coloured(0.07, 0.50, 0.40))
            for number in range(9):
                x, height = shelf + 0.02 + number * 0.03, self._rng.uniform(0.05, 0.09)
                book = coloured(self._rng.random(), 0.45, 0.70)
                self._box(x, level - height, x + 0.024, level, book)

    def _sea(self) -> None:
        water = coloured(0.55, 0.55, 0.36 if self._is_night else 0.66)
        self._box(0, 0.56, 1, 1, water)
        for _ in range(14):
            x, y = self._rng.random(), self._rng.uniform(0.59, 0.92)
            self._box(x, y, x + 0.12, y + 0.005, blended(water, (255, 255, 255), 0.5))

    def _trees(self) -> None:
        ground = coloured(0.30, 0.45, 0.26 if self._is_night else 0.48)
        for _ in range(7):
            x, y = self._rng.random(), self._rng.uniform(0.32, 0.50)
            self._box(x - 0.012, y, x + 0.012, 0.75, (92, 66, 46))
            crown = coloured(self._rng.uniform(0.20, 0.36), 0.50, self._rng.uniform(0.4, 0.65))
            if self._is_night:
                crown = blended(crown, (20, 20, 50), 0.5)
            self._disc((x, y), self._rng.uniform(0.09, 0.15), crown)
        self._box(0, 0.72, 1, 1, ground)

    def _hills(self) -> None:
        for level, shade in ((0.60, 0.62), (0.70, 0.48)):
            heights = [self._rng.uniform(-0.07, 0.07) for _ in range(7)]
            ridge = [
                (self._width * step / 6, self._height * (level + rise))
                for step, rise in enumerate(heights)
            ]
            foot = [(self._width, self._height), (0.0, self._height)]
            value = shade / 2 if self._is_night else shade
            self._pen.polygon([*ridge, *foot], fill=coloured(self._hue + 0.05, 0.45, value))

    def _city(self) -> None:
        wall = coloured(self._hue + 0.05, 0.25, 0.30 if self._is_night else 0.62)
        lit: Colour = (255, 224, 140) if self._is_night else (226, 236, 244)
        for number in range(8):
            x, top = number / 8, self._rng.uniform(0.24, 0.60)
            shade = blended(wall, (0, 0, 0), self._rng.uniform(0, 0.35))
            self._box(x, top, x + 1 / 8, 1, shade)
            for row in range(8):
                for column in (0.025, 0.075):
                    if self._rng.random() < 0.6:
                        y = top + 0.03 + row * 0.055
                        self._box(x + column, y, x + column + 0.025, y + 0.025, lit)

    def _box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        corners = (
            left * self._width,
            top * self._height,
            right * self._width,
            bottom * self._height,
        )
        self._pen.rectangle(corners, fill=colour)

    def _disc(self, at: tuple[float, float], radius: float, colour: Colour) -> None:
        x, y, radius = at[0] * self._width, at[1] * self._height, radius * self._width
        self._pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
