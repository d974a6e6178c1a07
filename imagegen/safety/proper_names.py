"""Words that stand in a text as names of persons, animals, places or works: "Lee Child"; pure.

What is in quotation marks or has a capital where an ordinary word has none is a name.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imagegen import morphology
from imagegen.safety import age_subject
from imagegen.safety.age_context import NO_FORMS, Forms, word_set
from imagegen.safety.normalise import NormalisedSentence, plain

_QUOTED = re.compile(
    r"(?<![\w:])(?:«([^«»\n]{2,60})»|[“\"„]([^“”\"„\n]{2,60})[”\"“]|'([^'\n]{2,60})'(?!\w))"
)
# After a colon somebody speaks, and so does who ends with a comma or a stop.
_BEFORE_SPEECH = re.compile(r":\s*\Z")
_SPOKEN = re.compile(r"[.,!?…:;\d]")
_MAX_QUOTED = 6  # words
_SPEAKERS = word_set(
    "i im me my we our us you your u he she his her я мне меня мой моя мое мы нам нас наш наша ты тебе тебя твой вы он она ему ей"
)
_WORD = re.compile(r"[^\W\d_]+")
_TITLED = re.compile(r"(?i)\b(?:mr|mrs|dr|prof)\.?\s+([a-z]+)|\bMs\.?\s+([A-Z][a-z]+)")
_SENTENCE_END = re.compile(r"[.!?…:;\n\"“«(]\s*\Z|\A\W*\Z")
_BETWEEN = re.compile(r"[\s'’-]*(?:['’]s)?\s*")
# What may stand inside of a name.
_CONNECTORS = word_set("of the in and de du la s")
_OWNERS = word_set(
    "my our your his her their a an this that junior senior мой моя мое мои моего моей моему моим моих мою наш наша наше наши нашего нашей нашему нашим нашу наших"
    " твой твоя твое твоего твоей твою ваш ваша ваше вашего вашей вашу свой своя своего своей свою его ее их"
)
# A capital is written here without a name.
_NO_NAMES = word_set(
    "i im ive ill my the a an is are was our your his her we you he she it they this that what who when where how if in on at and but so no not yes do does did has have can"
    " monday tuesday wednesday thursday friday saturday sunday year grade class school primary high middle english french german spanish american british little baby hi hey hello dear ok"
    " santa mum mom dad mummy daddy please thanks"
)
# Before a first name these are no part of it: "Baby Noah", "Grandson Joe".
_KIN = word_set(
    "baby son daughter sister brother sis bro grandson granddaughter nephew niece godson goddaughter stepson stepdaughter grandchild boy girl kid child newborn infant infants toddler"
)
_CALLED = (
    "зовут",
    "зовем",
    "звали",
    "назва",
    "прозва",
    "кличк",
    "позывн",
    "прозвищ",
    "погонял",
    "имени",
)
_CALLED_ENGLISH = word_set("called named calls name names")
_SURNAME_ENDS = ("ов", "ев", "ин", "ова", "ева", "ина", "ову", "овым", "еву", "евым")
_INITIAL = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Token:
    word: str
    start: int
    end: int

    @property
    def plain(self) -> str:
        return plain(self.word)

    @property
    def is_capital(self) -> bool:
        # Capitals in the middle are a disguise: "SISter".
        return self.word[0].isupper() and (len(self.word) == 1 or self.word[1:].islower())


def words_of_names(text: str) -> Forms:
    """Return the words of a text, in plain letters, that stand in it as parts of names only."""
    if text.islower() and not any(sign in text for sign in "«»\"'“”—–-."):
        return NO_FORMS
    tokens = [
        _Token(word=found.group(), start=found.start(), end=found.end())
        for found in _WORD.finditer(text)
    ]
    named = {
        at
        for first, last in (*_spans(text), *_capitals(text, tokens))
        for at, token in enumerate(tokens)
        if first <= token.start and token.end <= last
    }
    if not named:
        return NO_FORMS
    counts = Counter(token.plain for token in tokens)
    as_names = Counter(tokens[at].plain for at in named)
    return frozenset(word for word, count in as_names.items() if counts[word] == count)


def says_a_name(sentence: NormalisedSentence) -> bool:
    """Whether a sentence says that somebody or something is called so."""
    return any(
        word.plain in _CALLED_ENGLISH or word.plain.startswith(_CALLED) for word in sentence.words
    )


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for found in _QUOTED.finditer(text):
        quoted = next(filter(None, found.groups()))
        words = [plain(word) for word in _WORD.findall(quoted)]
        if (
            quoted[0].isupper()
            and len(words) <= _MAX_QUOTED
            and not _SPOKEN.search(quoted)
            and _SPEAKERS.isdisjoint(words)
            and not _BEFORE_SPEECH.search(text[: found.start()])
        ):
            yield found.span()
    for found in _TITLED.finditer(text):
        yield found.span(found.lastindex or 0)


def _capitals(text: str, tokens: Sequence[_Token]) -> Iterator[tuple[int, int]]:
    if text.isupper() or text.istitle():
        return
    for at, token in enumerate(tokens):
        if not token.is_capital:
            continue
        before = tokens[at - 1] if at else None
        if before and before.plain in _OWNERS:
            continue
        is_first = bool(_SENTENCE_END.search(text[max(0, token.start - 4) : token.start]))
        if _is_name(text, tokens, at, is_first=is_first):
            yield token.start, token.end


def _is_name(text: str, tokens: Sequence[_Token], at: int, *, is_first: bool) -> bool:
    if tokens[at].word.isascii():
        return _is_in_a_run(text, tokens, at)
    if is_first:
        return _is_surname_first(text, tokens, at)
    return _is_called(tokens[at - 1].plain, tokens[at].plain)


def _is_called(before: str, word: str) -> bool:
    """Whether a Russian word with a capital is a name by the word before it: "пёс Малыш"."""
    if before.startswith(_CALLED):
        return True
    if before in age_subject.subject_words()["people"]:
        return False
    return morphology.is_noun(before) and (
        morphology.is_noun(word) or morphology.is_adjective(word)
    )


def _is_surname_first(text: str, tokens: Sequence[_Token], at: int) -> bool:
    """Whether a Russian surname stands before a first name or initials: "Школьников А. В."."""
    if at + 1 == len(tokens) or not tokens[at].plain.endswith(_SURNAME_ENDS):
        return False
    after = tokens[at + 1]
    is_initial = len(after.word) == _INITIAL and text[after.end : after.end + 1] == "."
    return after.is_capital and (is_initial or morphology.may_be_first_name(after.plain))


def _is_in_a_run(text: str, tokens: Sequence[_Token], at: int) -> bool:
    """Whether another word with a capital stands beside an English one: "the Karate Kid"."""
    row_before = [*reversed(tokens[max(0, at - 3) : at + 1])]
    if _has_capital_beside(text, row_before, is_reversed=True):
        return True
    return tokens[at].plain not in _KIN and _has_capital_beside(
        text, tokens[at : at + 4], is_reversed=False
    )


def _has_capital_beside(text: str, row: Sequence[_Token], *, is_reversed: bool) -> bool:
    for one, other in itertools.pairwise(row):
        first, second = (other, one) if is_reversed else (one, other)
        if not _BETWEEN.fullmatch(text[first.end : second.start]):
            return False
        if other.plain in _CONNECTORS and not (other.is_capital and other.plain == "la"):
            continue
        return other.is_capital and other.plain not in _NO_NAMES
    return False
