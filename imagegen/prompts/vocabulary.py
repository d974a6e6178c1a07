"""The words and phrases of vocabulary.toml, and every form of a word."""

import functools
import re
import tomllib
from importlib import resources
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

from chatflow_hook.turn import Rating
from imagegen import morphology

# A participle is mostly an adjective of its own, and a verb has dozens of them.
_LEFT_OUT = {"PRTF", "PRTS"}
_DOUBLED = re.compile(r"[^aeiou][aeiou][bdgklmnprt]$")
_HISSES = ("s", "x", "z", "ch", "sh", "o")


def normalised(word: str) -> str:
    """Spell a word as it is looked up: lower case, no ё, a straight apostrophe."""
    return word.casefold().replace("ё", "е").replace("’", "'")


def english_forms(word: str, *, is_verb: bool = False) -> frozenset[str]:
    """Give the regular forms of an English word; some of them nobody uses, which does no harm."""
    forms = {word, *_with_s(word)}
    if is_verb:
        stem = word.removesuffix("e")
        forms |= {f"{stem}ing", f"{stem}ed"}
        if _DOUBLED.search(word):
            forms |= {f"{word}{word[-1]}ing", f"{word}{word[-1]}ed"}
    return frozenset(forms)


def russian_forms(word: str) -> frozenset[str]:
    """Give the forms of a Russian word in its dictionary form; any other word has but itself."""
    word = normalised(word)
    parses = [
        one for one in morphology.analyser().parse(word) if normalised(one.normal_form) == word
    ]
    return frozenset(
        (
            word,
            *(
                normalised(form.word)
                for one in parses
                for form in one.lexeme
                if form.tag.POS not in _LEFT_OUT
            ),
        )
    )


def _with_s(word: str) -> set[str]:
    if word.endswith("y") and word[-2:-1] not in set("aeiou"):
        return {f"{word[:-1]}ies"}
    if word.endswith("f"):
        return {f"{word[:-1]}ves", f"{word}s"}
    return {f"{word}es", f"{word}s"} if word.endswith(_HISSES) else {f"{word}s"}


Phrases = Annotated[tuple[str, ...], Strict(strict=False), Field(min_length=1)]
_Some = Annotated[tuple[str, ...], Strict(strict=False)]


class _StrictEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ByRating(_StrictEntry):
    """Phrases for safe pictures, and for those above."""

    safe: Phrases
    suggestive: Phrases

    def at(self, rating: Rating) -> Phrases:
        """Give the phrases for a rating; nothing here is worded for more than suggestive."""
        return self.safe if rating is Rating.SAFE else self.suggestive


class VocabularyWord(_StrictEntry):
    """Something that people write of, and how a summary names it."""

    sign: str
    en: Phrases
    ru: Phrases


class SaidWord(VocabularyWord):
    """A word with phrases that complete "Lina is …"."""

    says: Phrases


class PlaceWord(SaidWord):
    """Where somebody is; `wears` is what people wear there."""

    indoors: bool
    wears: ByRating | None = None


class SeasonWord(SaidWord):
    """A season; `adds` is what one takes along outdoors."""

    adds: str | None = None


class WeatherWord(VocabularyWord):
    """The weather, as it is seen from under a roof and without one."""

    indoors: str
    outdoors: str
    adds: str | None = None


class ClothesWord(VocabularyWord):
    """Clothes, and the places where they are worn; none are all."""

    safe: Phrases
    suggestive: Phrases
    places: _Some = ()

    def at(self, rating: Rating) -> Phrases:
        """Give the phrases for a rating."""
        return self.safe if rating is Rating.SAFE else self.suggestive


class ActivityWord(SaidWord):
    """What somebody does, and where: the first place if the talk names none, none are all."""

    places: _Some = ()
    wears: ByRating | None = None


class NegationWords(_StrictEntry):
    """Words that say that something is not, or no longer, there."""

    not_: _Some = Field(alias="not")
    left: _Some
    gone: _Some


class DefaultPhrases(_StrictEntry):
    """What is drawn where neither the talk nor the persona says anything."""

    indoors: Phrases
    outdoors: Phrases
    clothes: Phrases
    evening_clothes: Phrases
    moods: Phrases
    cameras: Phrases
    sign: str


class LightPhrases(_StrictEntry):
    """Light with a roof above and without."""

    indoors: Phrases
    outdoors: Phrases


class MoodPhrases(_StrictEntry):
    """Moods above safe; those of safe pictures are the persona's own."""

    suggestive: Phrases


class Vocabulary(_StrictEntry):
    """The whole file; the first five are by the key that a setting keeps."""

    place: dict[str, PlaceWord]
    time: dict[str, SaidWord]
    season: dict[str, SeasonWord]
    weather: dict[str, WeatherWord]
    clothes: dict[str, ClothesWord]
    activity: dict[str, ActivityWord]
    passed: NegationWords
    otherwise: DefaultPhrases
    poses: ByRating
    moods: MoodPhrases
    light: dict[str, LightPhrases]
    bare: ByRating

    def light_at(self, time: str | None) -> LightPhrases:
        """Give the light of a time of day, or of any."""
        return self.light[time if time in self.light else "any"]


@functools.cache
def shipped_vocabulary() -> Vocabulary:
    """Read the vocabulary that travels in the package."""
    file = resources.files("imagegen.prompts") / "vocabulary.toml"
    return Vocabulary.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
