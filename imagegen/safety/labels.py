"""Names of files, styles and nodes as words: `youngFace_v2.safetensors` is "young face v2"; pure."""

import re

from imagegen.safety.known_words import unknown_words

_BOUNDARY = re.compile(r"[\W_]+|(?<=[a-zа-я])(?=[A-ZА-Я])")
# Numbers of versions, training steps and sizes.
_VERSION = re.compile(r"(?i)\b\d+\b(?!\s*(?:yo|y|yrs?|years?|лет|let|летн\w*)\b)")
_MIN_PART = 3


def label_words(label: str) -> str:
    """Return the words of a name, and those of which an unknown word of it is composed."""
    words = _VERSION.sub("", _BOUNDARY.sub(" ", label))
    composed = [part for word in unknown_words(words) for part in _parts(word.lower())]
    return "\n".join([words, *composed])


def _parts(word: str) -> list[str]:
    """Return the two known words of which an unknown one consists, for each way to split it."""
    splits = ((word[:at], word[at:]) for at in range(_MIN_PART, len(word) - _MIN_PART + 1))
    return [" ".join(parts) for parts in splits if not unknown_words(" ".join(parts))]
