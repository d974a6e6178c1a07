"""Names that may be those of real people; pure."""

import re
from collections.abc import Collection, Iterator

from imagegen import morphology
from imagegen.safety.lexicon import shipped_lexicon

_RUSSIAN = re.compile(r"(?=\b([А-ЯЁ][а-яё]+)\s+([А-ЯЁ][а-яё]+)\b)")
_LATIN = re.compile(
    r"(?=(?<![\w'’-])([A-Z][a-zà-ÿ]+)[ \t]+([A-Z][a-zà-ÿ]{2,}(?:-[A-Z][a-zà-ÿ]+)?)\b)"
)
_THE = re.compile(r"\b[Tt]he\s\Z")
_BEGINS_A_SENTENCE = re.compile(r"(?:\A|[.!?…:;\n\"“«(])\s*\Z")


class PersonNames:
    """Knows by its capitals who may be meant with first name and surname."""

    def __init__(self) -> None:
        lists = shipped_lexicon("names")
        self._first, self._places = set(lists["first"]), set(lists["places"])
        self._ordinary = set(lists["ordinary"])

    def are_in(self, text: str, *, besides: Collection[str] = ()) -> bool:
        """Say whether somebody is named; the names of `besides` are nobody's."""
        if text.islower() or text.isupper():
            return False
        own = {name.casefold() for name in besides}
        return any(name.casefold() not in own for name in self._full_names(text))

    def _full_names(self, text: str) -> Iterator[str]:
        for found in _RUSSIAN.finditer(text):
            first, last = (part.lower().replace("ё", "е") for part in found.groups())
            if morphology.is_name(first) and morphology.is_name(last):
                yield " ".join(found.groups())
        for found in _LATIN.finditer(text):
            before = text[max(0, found.start() - 5) : found.start()]
            # Any word has a capital where a sentence starts, and a band or a tower has an article.
            is_doubtful = _BEGINS_A_SENTENCE.search(before) or _THE.search(before)
            if self._is_full_name(*found.groups(), is_doubtful=bool(is_doubtful)):
                yield " ".join(found.groups())

    def _is_full_name(self, first: str, last: str, *, is_doubtful: bool) -> bool:
        one, other = first.lower(), last.lower()
        if other in self._ordinary or other in self._places:
            return False
        if one in self._first:
            return True
        return not is_doubtful and one not in self._ordinary and one not in self._places


def inflected(names: list[str]) -> Iterator[str]:
    """Return Russian full names in all cases, and others as they are."""
    for name in names:
        first, _, last = name.partition(" ")
        if name.isascii() or not last:
            yield from morphology.cases(name) if not name.isascii() else (name,)
        else:
            yield from (f"{a} {b}" for a in morphology.cases(first) for b in morphology.cases(last))
