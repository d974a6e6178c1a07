"""Finds names that may be those of real people; pure."""

import re
from collections.abc import Collection, Iterator

from imagegen import morphology
from imagegen.safety.lexicon import shipped_lexicon

_RUSSIAN = re.compile(r"(?=\b([А-ЯЁ][а-яё]+)\s+([А-ЯЁ][а-яё]+)\b)")
_LATIN = re.compile(
    r"(?=(?<![\w'’-])([A-Z][a-zà-ÿ]+)[ \t]+([A-Z][a-zà-ÿ]{2,}(?:-[A-Z][a-zà-ÿ]+)?)\b)"
)
_SURNAME = re.compile(r"\b([А-ЯЁ][а-яё]+)\s+[А-ЯЁ][а-яё]+(?:ов|ев|ин)(?:а|у|ым|ой|е)?\b")
_ARTICLE = re.compile(r"\b[Tt]he\s\Z")
_ACQUAINTANCE = re.compile(
    r"(?i)\b(?:my (?:mate|friend|colleague|coworker|boss|landlord|dentist|neighbou?r|plumber|hairdresser|accountant|aunt|uncle|gran|grandma|cousin|in-laws?|ex-colleague|trainer|roommate|flatmate)"
    r"|ran into|bumped into|old mr|from (?:accounting|hr|work|downstairs|upstairs|sales|the office|next door)|down the hall"
    r"|hardware store|коллег\w+|сосед\w*|начальник\w*|бухгалтери\w+|с (?:работы|завода|курсов|дачи|тренировки|учебы|корпоратива)|из отдела|однокурсни\w+|парикмахер\w*|т[её]т\w+|дяд\w+|однокурсн\w+|тренер\w*|свекров\w+|свёк\w+|т[её]щ\w+|приятел\w+|друг\w*|подруг\w+"
    r"|передай\w*|напиши\w*|позвони\w*|звонил\w*|наб(?:ери|рал)\w*|спроси\w*|из (?:банка|сервиса|школы|жэка|тсж)|договор\w*|на шашлык\w*|наш\w? (?:бухгалтер|юрист|сантехник)\w*|мастер\w* по)\b"
)
_SENTENCE_START = re.compile(r"(?:\A|[.!?…:;\n\"“«(])\s*\Z")


class PersonNames:
    """Finds first names with a surname, by their capitals and by lists of names."""

    def __init__(self) -> None:
        lists = shipped_lexicon("names")
        self._first_names, self._places = set(lists["first"]), set(lists["places"])
        self._ordinary_words = set(lists["ordinary"])

    def are_in(
        self, text: str, *, besides: Collection[str] = (), spares_acquaintances: bool = False
    ) -> bool:
        """Whether a text has a full name, other than those of `besides`.

        `spares_acquaintances`: names do not count in a text that says that somebody is a private
        person, such as a colleague or a neighbour.
        """
        if spares_acquaintances and _ACQUAINTANCE.search(text):
            return False
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
            # Each word has a capital at the start of a sentence, and after an article it is more
            # often the name of a band or a building.
            is_doubtful = _SENTENCE_START.search(before) or _ARTICLE.search(before)
            if self._is_full_name(*found.groups(), is_doubtful=bool(is_doubtful)):
                yield " ".join(found.groups())

    def _is_full_name(self, first: str, last: str, *, is_doubtful: bool) -> bool:
        first_name, surname = first.lower(), last.lower()
        if surname in self._ordinary_words or surname in self._places:
            return False
        if first_name in self._first_names:
            return True
        return (
            not is_doubtful
            and first_name not in self._ordinary_words
            and first_name not in self._places
        )


def without_surnames(text: str) -> str:
    """Return a text without Russian surnames after a first name: "Серёга Школьников" is no pupil."""
    return _SURNAME.sub(
        lambda found: (
            found.group(1)
            if morphology.may_be_named(found.group(1).lower().replace("ё", "е"))
            else found.group()
        ),
        text,
    )


def inflected(names: list[str]) -> Iterator[str]:
    """Yield Russian names in all grammatical cases, and other names as they are."""
    for name in names:
        first, _, last = name.partition(" ")
        if name.isascii() or not last:
            yield from morphology.cases(name) if not name.isascii() else (name,)
        else:
            yield from (f"{a} {b}" for a in morphology.cases(first) for b in morphology.cases(last))
