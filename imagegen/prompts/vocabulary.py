"""vocabulary.toml: what the template builder knows to draw."""

import functools
import tomllib
from importlib import resources
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

from chatflow_hook.turn import Rating

Phrases = Annotated[tuple[str, ...], Strict(strict=False), Field(min_length=1)]
_Some = Annotated[tuple[str, ...], Strict(strict=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ByRating(_Strict):
    """Phrases for safe pictures, and for those above."""

    safe: Phrases
    suggestive: Phrases

    def at(self, rating: Rating) -> Phrases:
        """Give the phrases for a rating; nothing here is worded for more than suggestive."""
        return self.safe if rating is Rating.SAFE else self.suggestive


class Word(_Strict):
    """Something that people write of, and how a summary names it."""

    sign: str
    en: Phrases
    ru: Phrases


class Said(Word):
    """A word with phrases that complete "Lina is …"."""

    says: Phrases


class Place(Said):
    """Where somebody is; `wears` is what people wear there."""

    indoors: bool
    wears: ByRating | None = None


class Season(Said):
    """A season; `adds` is what one takes along outdoors."""

    adds: str | None = None


class Weather(Word):
    """The weather, as it is seen from under a roof and without one."""

    indoors: str
    outdoors: str
    adds: str | None = None


class Clothes(Word):
    """Clothes, and the places where they are worn; none are all."""

    safe: Phrases
    suggestive: Phrases
    places: _Some = ()

    def at(self, rating: Rating) -> Phrases:
        """Give the phrases for a rating."""
        return self.safe if rating is Rating.SAFE else self.suggestive


class Activity(Said):
    """What somebody does, and where: the first place if the talk names none, none are all."""

    places: _Some = ()
    wears: ByRating | None = None


class Passed(_Strict):
    """Words that say that something is not, or no longer, there."""

    not_: _Some = Field(alias="not")
    left: _Some
    gone: _Some


class Otherwise(_Strict):
    """What is drawn where neither the talk nor the persona says anything."""

    indoors: Phrases
    outdoors: Phrases
    clothes: Phrases
    evening_clothes: Phrases
    moods: Phrases
    cameras: Phrases
    sign: str


class Light(_Strict):
    """Light with a roof above and without."""

    indoors: Phrases
    outdoors: Phrases


class Moods(_Strict):
    """Moods above safe; those of safe pictures are the persona's own."""

    suggestive: Phrases


class Vocabulary(_Strict):
    """The whole file; the first five are by the key that a setting keeps."""

    place: dict[str, Place]
    time: dict[str, Said]
    season: dict[str, Season]
    weather: dict[str, Weather]
    clothes: dict[str, Clothes]
    activity: dict[str, Activity]
    passed: Passed
    otherwise: Otherwise
    poses: ByRating
    moods: Moods
    light: dict[str, Light]
    bare: ByRating

    def light_at(self, time: str | None) -> Light:
        """Give the light of a time of day, or of any."""
        return self.light[time if time in self.light else "any"]


@functools.cache
def shipped() -> Vocabulary:
    """Read the vocabulary that travels in the package."""
    file = resources.files("imagegen.prompts") / "vocabulary.toml"
    return Vocabulary.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
