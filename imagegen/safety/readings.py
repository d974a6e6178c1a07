"""All readings of a sentence as one line, in which the lexicon searches; pure."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from imagegen import morphology
from imagegen.safety import numbers
from imagegen.safety.normalise import NormalisedSentence, NormalisedWord

# So many rows has a word. The first ones are as it was written, those after them dictionary forms.
_ROWS = 6
_WRITTEN_ROWS = 4


def searchable_line(sentence: NormalisedSentence) -> str:
    """Return all readings of a sentence as one line: its rows, then the other forms of its words."""
    words = [_word_forms(word) for word in sentence.words]
    others = [word.others for word in words]
    for word in sentence.glued:
        forms = _word_forms(word)
        others += (*forms.rows, forms.others)
    lines = (" ".join(row) for row in zip(*(word.rows for word in words), strict=True))
    # Several rows of plain Russian or plain English are the same.
    return " . ".join(dict.fromkeys((*lines, *others)))


def written_rows(words: tuple[NormalisedWord, ...]) -> Iterable[tuple[str, ...]]:
    """Return the readings of a sentence as it was written, without dictionary forms."""
    return dict.fromkeys(
        zip(*(_word_forms(word).rows[:_WRITTEN_ROWS] for word in words), strict=True)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _WordForms:
    """The forms of a word: one for each row, and all others separated by dots.

    A row is a sentence in one reading, such as the Latin one, in which phrases are searched for.
    """

    rows: tuple[str, ...]
    others: str


@functools.lru_cache(maxsize=morphology.CACHED_WORDS)
def _word_forms(word: NormalisedWord) -> _WordForms:
    if word.plain.isdecimal():  # no word in disguise: 10/11 is a date, a score or a floor
        return _WordForms(rows=(word.plain,) * _ROWS, others=word.plain)
    written = (word.plain, word.latin, word.cyrillic, word.translit)
    rows = (
        *written,
        morphology.lemmas(word.plain)[0],
        morphology.lemmas_if_known(word.translit)[0],
    )
    others = numbers.forms_of(word) - {*rows}
    return _WordForms(rows=rows, others=" . ".join(sorted(others)))
