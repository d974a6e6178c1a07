"""Whether a text describes less clothing than a picture may have; pure."""

import functools

from imagegen.safety.lexicon import Lexicon, Squeezed, shipped_lexicon
from imagegen.safety.normalise import StarredWords, sentences
from imagegen.safety.readings import searchable_line, written_rows
from imagegen.safety.unicode_text import look_alikes, visible


def is_bare(text: str, *, is_safe: bool) -> bool:
    """Whether a text has words for nudity, or if `is_safe` for underwear and the like."""
    return _words(is_safe=is_safe).are_in(text)


class _BareWords:
    def __init__(self, words: list[str]) -> None:
        self._lexicon = Lexicon({"bare": words}, spared=[])
        self._squeezed = Squeezed((), words, whole=())
        self._starred = StarredWords(words)

    def are_in(self, text: str) -> bool:
        text = visible(text)
        text = "\n".join(filter(None, (text, look_alikes(text))))
        return self._starred.are_in(text) or any(
            any(self._lexicon.topics(searchable_line(sentence)))
            or any(map(self._squeezed.are_in, written_rows(sentence.words)))
            for sentence in sentences(text)
        )


@functools.cache
def _words(*, is_safe: bool) -> _BareWords:
    lists = shipped_lexicon("bare")
    return _BareWords([*lists["suggestive"], *(lists["safe"] if is_safe else ())])
