"""A cheap look at texts: may one of them say that somebody is under 18? Then the worker reads it.

It takes some microseconds for a usual message and finds far too much: digits, words for numbers,
years, children and school in several languages, other scripts, and anything that may hide a word.
"""

import functools
import re
from importlib import resources

# Signs that messages in Russian or English do not have, and emoji of children and schools.
_ODD = re.compile(
    r"[^\s\w!-/:-~«»„“”‘’–—…№€£₽°·•\u200d\u2600-\u27bf\ufe0f\U0001f300-\U0001faff]"
    r"|[\d\U0001f37c\U0001f392\U0001f3eb\U0001f466-\U0001f46a\U0001f476-\U0001f478\U0001f47c"
    r"\U0001f51e-\U0001f524\U0001f6b8\U0001f931\U0001f9d1-\U0001f9d2]"
)
_OTHER_SCRIPT = re.compile(r"[^\W\da-zа-яё_]")
_LATIN, _CYRILLIC = re.compile(r"[a-z]"), re.compile(r"[а-яё]")
_TWO_ALPHABETS = re.compile(r"[a-z][а-яё]|[а-яё][a-z]")
_REPEATED = re.compile(r"([a-zа-яё])\1\1")
_SIGN_IN_WORD = re.compile(r"[a-zа-яё][^a-zа-яё\s'’-]+[a-zа-яё]|(?<![a-zа-яё])[$@!*_#%+|][a-zа-яё]")
_WORD = re.compile(r"[a-zа-яё]+")
_PARTS = ("teen", "надцат", "летн", "летк", "классн", "ятнадц")
# So many letters that stand alone may be one word.
_PARTED = 3


def needs_reading(text: str) -> bool:
    """Return whether a text may speak of somebody under 18."""
    text = text.lower()
    if _ODD.search(text) or _OTHER_SCRIPT.search(text) or _hides_a_word(text):
        return True
    words, stems = _hints()
    alone = 0
    for word in _WORD.findall(text):
        if word in words or word[:3] in stems or word[:4] in stems or word[:5] in stems:
            return True
        alone = alone + 1 if len(word) == 1 else 0
        if alone == _PARTED:
            return True
    return any(part in text for part in _PARTS)


def _hides_a_word(text: str) -> bool:
    if _SIGN_IN_WORD.search(text) or _REPEATED.search(text):
        return True
    if not _LATIN.search(text) or not _CYRILLIC.search(text):
        return False
    return _TWO_ALPHABETS.search(text) is not None


@functools.cache
def _hints() -> tuple[frozenset[str], frozenset[str]]:
    """Return whole words, and beginnings of words of three to five letters; read at first use."""
    lines = resources.files("chatflow_hook").joinpath("prefilter_words.txt").read_text("utf-8")
    hints = [hint for line in lines.splitlines() if line[:1] != "#" for hint in line.split()]
    stems = frozenset(hint[:-1] for hint in hints if hint.endswith("*"))
    return frozenset(hint for hint in hints if not hint.endswith("*")), stems
