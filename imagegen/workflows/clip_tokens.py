"""How many tokens a text has at most for CLIP, the text encoder of SD 1.5 and SDXL; pure.

An upper bound and no count: the tokenizer's table is as large as its packages. The bound holds for
every word of the dictionary by measurement, and for every other text since no byte is more than one
token (docs/decisions/0035-any-graph.md).
"""

import functools
import re
from importlib.resources import files

# What CLIP reads of a prompt: 77 tokens with those of its beginning and its end.
MAX_TOKENS = 75

# As CLIP parts a text: the ends of contractions, runs of letters, single digits, runs of signs.
_PIECE = re.compile(r"'(?:s|t|re|ve|m|ll|d)|[^\W\d_]+|\d|(?:[^\w\s]|_)+|\S")
# The most tokens of a dictionary word that is not one token, by its number of letters.
_MOST_OF_WORD = {1: 1, 2: 1, 3: 2, 4: 3, 5: 3, 6: 4, 7: 4, 8: 4, 9: 5, 10: 5, 11: 5}
_MOST_OF_LONG_WORD = 7


def most_tokens(text: str) -> int:
    """Return how many tokens a text has at most."""
    return sum(map(_most_of_piece, _PIECE.findall(text.lower())))


@functools.lru_cache(maxsize=3_000)
def _most_of_piece(piece: str) -> int:
    if piece in _single_tokens() or (piece.startswith("'") and piece[1:].isalpha()):
        return 1
    # The simulators read workflows without the libraries of the screen.
    from imagegen.safety.known_words import is_english  # noqa: PLC0415

    if piece.isascii() and piece.isalpha() and is_english(piece):
        return _MOST_OF_WORD.get(len(piece), _MOST_OF_LONG_WORD)
    return len(piece.encode(errors="replace"))


@functools.cache
def _single_tokens() -> frozenset[str]:
    text = files("imagegen.workflows").joinpath("clip_words.txt").read_text("utf-8")
    return frozenset(text.split())
