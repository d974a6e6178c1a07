"""The lexicon of the screen's topics, put together from the lists of this package."""

from collections.abc import Iterable, Iterator

from imagegen import morphology
from imagegen.safety import numbers, person_names, word_classes
from imagegen.safety.lexicon import Lexicon, shipped_lexicon
from imagegen.safety.normalise import plain

# The screen looks for these in other ways.
_LETTER_BY_LETTER = {"parted", "as_written"}


def build() -> Lexicon:
    """Return the lexicon of all topics."""
    minors, people = shipped_lexicon("minors"), shipped_lexicon("people")
    return Lexicon(
        {
            **{topic: minors[topic] for topic in minors if topic not in _LETTER_BY_LETTER},
            **shipped_lexicon("harm"),
            **shipped_lexicon("sexual"),
            **_with_all_lemmas(_grown(shipped_lexicon("grown"))),
            **_with_all_lemmas(shipped_lexicon("coming_of_age")),
            "adult_life": shipped_lexicon("endearments")["adult_life"],
            "foreign": [*shipped_lexicon("foreign")["words"], *numbers.foreign_ages()],
            **shipped_lexicon("asking"),
            "likeness": people["likeness"],
            "names": [*person_names.inflected(people["names"]), *people["offices"]],
        },
        spared=[*_with_lemmas(shipped_lexicon("spared")["phrases"])],
    )


def _grown(lists: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the topics of what says that somebody is grown up: phrases, and professions of relatives."""
    professions = lists.pop("professions")
    kin = lists.pop("kin")
    english = (
        f"{verb} {a} {one}"
        for verb in ("is", "s", "became", "now")
        for a in ("a", "an")
        for one in (*professions, *word_classes.professions())
    )
    russian = (
        f"{who} {whose}{one}"
        for who in kin
        for whose in ("", "мой ", "у я ")
        for one in professions
        if not one.isascii()
    )
    return {**lists, "grown": [*lists["grown"], *english, *russian]}


def _with_lemmas(phrases: Iterable[str]) -> Iterator[str]:
    """Yield phrases, and the same in dictionary forms, as they stand in another row, or in the plural."""
    for phrase in phrases:
        yield phrase
        if _may_be_plural(phrase):
            yield f"{phrase}s"
        if not phrase.isascii() and not phrase.endswith("*"):
            yield " ".join(morphology.lemmas(plain(word))[0] for word in phrase.split())


def _may_be_plural(phrase: str) -> bool:
    first, _, last = phrase.rpartition(" ")
    if not phrase.isascii() or last.endswith(("s", "*")):
        return False
    return word_classes.is_thing(last) or (bool(first) and word_classes.is_person(last))


def _with_all_lemmas(lists: dict[str, list[str]]) -> dict[str, list[str]]:
    # "вырастет" is a wish, and "вырасти" none.
    return {
        topic: phrases if topic == "wishes" else [*_with_lemmas(phrases)]
        for topic, phrases in lists.items()
    }
