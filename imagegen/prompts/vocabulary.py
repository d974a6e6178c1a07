"""vocabulary.toml: the words that are looked for in a conversation, and the phrases of prompts.

Also the forms of those words, so that the words of a conversation need only be looked up.
"""

import functools
import re
import tomllib
from importlib import resources
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

from chatflow_hook.turn import Rating
from imagegen import morphology

Phrases = Annotated[tuple[str, ...], Strict(strict=False), Field(min_length=1)]
_Keys = Annotated[tuple[str, ...], Strict(strict=False)]


class _StrictEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ByRating(_StrictEntry):
    """Phrases for the rating safe, and for the ratings above."""

    safe: Phrases
    suggestive: Phrases

    def at(self, rating: Rating) -> Phrases:
        """Return the phrases for a rating; there are none for more than suggestive."""
        return self.safe if rating is Rating.SAFE else self.suggestive


class VocabularyWord(_StrictEntry):
    """A thing that people write about: `en` and `ru` are its words, `label` its name in a summary."""

    label: str
    en: Phrases
    ru: Phrases


class WordWithPhrases(VocabularyWord):
    """A thing with `phrases` that complete "Lina is …"."""

    phrases: Phrases


class PlaceWord(WordWithPhrases):
    """A place; `clothes` are those that people wear there."""

    indoors: bool
    clothes: ByRating | None = None


class SeasonWord(WordWithPhrases):
    """A season; `accessory` is what is worn or carried outdoors."""

    accessory: str | None = None


class WeatherWord(VocabularyWord):
    """Weather, with a phrase for indoors and one for outdoors; `accessory` as of a season."""

    indoors: str
    outdoors: str
    accessory: str | None = None


class ClothesWord(VocabularyWord):
    """Clothes, and the places where they are worn; no places means everywhere."""

    safe: Phrases
    suggestive: Phrases
    places: _Keys = ()

    def at(self, rating: Rating) -> Phrases:
        """Return the phrases for a rating; there are none for more than suggestive."""
        return self.safe if rating is Rating.SAFE else self.suggestive


class ActivityWord(WordWithPhrases):
    """What somebody does, and at which places; no places means everywhere.

    If the conversation names no place, it is the first of them.
    """

    places: _Keys = ()
    clothes: ByRating | None = None


class NegationWords(_StrictEntry):
    """Words of negation.

    `not` (something is not there) and `left` (the person has left the place) count up to three
    words before its name, `gone` (it is over) directly after it. `left` does not count before a
    time of day.
    """

    not_: _Keys = Field(alias="not")
    left: _Keys
    gone: _Keys


class DefaultPhrases(_StrictEntry):
    """Phrases for what neither the conversation nor the persona's habits say."""

    indoors: Phrases
    outdoors: Phrases
    clothes: Phrases
    evening_clothes: Phrases
    moods: Phrases
    cameras: Phrases
    label: str


class LightPhrases(_StrictEntry):
    """Light indoors and outdoors."""

    indoors: Phrases
    outdoors: Phrases


class MoodPhrases(_StrictEntry):
    """Moods that are added above the rating safe; safe pictures have the persona's own only."""

    suggestive: Phrases


class Vocabulary(_StrictEntry):
    """The whole file. `place` to `activity` map the keys that a SceneSetting stores.

    `passed` are words of negation, `otherwise` the defaults.
    """

    place: dict[str, PlaceWord]
    time: dict[str, WordWithPhrases]
    season: dict[str, SeasonWord]
    weather: dict[str, WeatherWord]
    clothes: dict[str, ClothesWord]
    activity: dict[str, ActivityWord]
    passed: NegationWords
    otherwise: DefaultPhrases
    poses: ByRating
    moods: MoodPhrases
    light: dict[str, LightPhrases]

    def light_at(self, time: str | None) -> LightPhrases:
        """Return the light of a time of day; None, or a time without an entry, has that of `any`."""
        return self.light[time if time in self.light else "any"]


@functools.cache
def shipped_vocabulary() -> Vocabulary:
    """Read the vocabulary that is part of the package, once."""
    file = resources.files("imagegen.prompts") / "vocabulary.toml"
    return Vocabulary.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))


# Participles are left out: mostly they are adjectives of their own, and a verb has dozens of them.
_OMITTED_PARTS_OF_SPEECH = {"PRTF", "PRTS"}
_DOUBLES_CONSONANT = re.compile(r"[^aeiou][aeiou][bdgklmnprt]$")
_TAKES_ES = ("s", "x", "z", "ch", "sh", "o")


def normalised(word: str) -> str:
    """Return a word or text as it is looked up: lower case, е for ё, a straight apostrophe."""
    return word.casefold().replace("ё", "е").replace("’", "'")


def english_forms(word: str, *, is_verb: bool = False) -> frozenset[str]:
    """Return the regular forms of an English word, and some that do not exist, which is harmless."""
    forms = {word, *_with_s(word)}
    if is_verb:
        stem = word.removesuffix("e")
        forms |= {f"{stem}ing", f"{stem}ed"}
        if _DOUBLES_CONSONANT.search(word):
            forms |= {f"{word}{word[-1]}ing", f"{word}{word[-1]}ed"}
    return frozenset(forms)


def russian_forms(word: str) -> frozenset[str]:
    """Return the forms of a Russian word in its dictionary form; only itself for any other word."""
    word = normalised(word)
    parses = [
        parse
        for parse in morphology.analyser().parse(word)
        if normalised(parse.normal_form) == word
    ]
    return frozenset(
        (
            word,
            *(
                normalised(form.word)
                for parse in parses
                for form in parse.lexeme
                if form.tag.POS not in _OMITTED_PARTS_OF_SPEECH
            ),
        )
    )


def _with_s(word: str) -> set[str]:
    if word.endswith("y") and word[-2:-1] not in set("aeiou"):
        return {f"{word[:-1]}ies"}
    if word.endswith("f"):
        return {f"{word[:-1]}ves", f"{word}s"}
    return {f"{word}es", f"{word}s"} if word.endswith(_TAKES_ES) else {f"{word}s"}
