"""How long a text takes to read, estimated without reading it; pure.

The estimate counts what costs time, measured on one core of 2 GHz: a word that was not read before
(80 microseconds, twice as long if the dictionary lacks it), any word, a number, a sentence.
"""

import re
import unicodedata
from collections.abc import Sequence

from chatflow_hook.turn import Message
from imagegen import morphology

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.!?…\n]+")
_NEW, _UNKNOWN, _WORD_AGAIN, _NUMBER, _SENTENCE = 80, 250, 34, 75, 110
# Microseconds: 100 ms with room for what the estimate does not see.
_MAX_TIME = 75_000


def readable(messages: Sequence[Message]) -> list[Message]:
    """Return the newest messages that can be read in 100 ms, oldest first; all if there is time."""
    left = _MAX_TIME
    read: set[str] = set()
    newest: list[Message] = []
    for message in reversed(messages):
        left -= _time(message.text, read)
        if left < 0:
            break
        newest.append(message)
    return newest[::-1]


def _time(text: str, read: set[str]) -> int:
    # One character may stand for a phrase: ﷺ is four words to the screen.
    text = unicodedata.normalize("NFKC", text).lower()
    words = _WORD.findall(text)
    new = {*words} - read
    read |= new
    unknown = sum(map(morphology.is_unknown, new))
    numbers = sum(map(str.isdecimal, words))
    return (
        _NEW * (len(new) - unknown)
        + _UNKNOWN * unknown
        + _WORD_AGAIN * len(words)
        + _NUMBER * numbers
        + _SENTENCE * len(_SENTENCE_END.findall(text))
    )
