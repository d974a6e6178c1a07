"""Whether words of an adult's life are said of a relative, and not of somebody beside one; pure."""

import itertools
from dataclasses import replace

from imagegen import morphology
from imagegen.safety import rules
from imagegen.safety.age_context import word_set
from imagegen.safety.clauses import TopicsIn, parts_between_pauses
from imagegen.safety.normalise import NormalisedSentence

# Who is spoken of may be a relative that was named before.
_PRONOUNS = word_set("he she his her they their он она его ее ей ему нее него")
# So many parts of a sentence are read, each of so many words; what is longer says nothing of a relative.
_MAX_PARTS, _MAX_WORDS = 12, 40


def are_said_to_be_grown(sentence: NormalisedSentence, topics_in: TopicsIn) -> bool:
    """Whether a word for grown people stands between the same pauses as a relative whom it may be about.

    "Сын женился", but "дочка рисует, муж на работе" and "отвела сына на работу". `topics_in` returns
    the topics of some words.
    """
    return any(
        "grown" in topics_in(part) and _names_a_possible_subject(part, topics_in)
        for part in itertools.islice(parts_between_pauses(sentence), _MAX_PARTS)
        if len(part.words) <= _MAX_WORDS
    )


def _names_a_possible_subject(part: NormalisedSentence, topics_in: TopicsIn) -> bool:
    """Whether a relative, or a pronoun for one, may be the subject of a part of a sentence."""
    words = [word.plain for word in part.words]
    if not _PRONOUNS.isdisjoint(words):
        return True
    relatives = [
        (before, word.plain)
        for before, word in zip(("", *words), part.words, strict=False)
        if rules.RELATIVES & topics_in(replace(part, words=(word,)))
    ]
    if not relatives:  # of two words, such as "младший брат"
        return bool(rules.RELATIVES & topics_in(part))
    return any(
        word.isascii() or morphology.may_be_subject(before, word) for before, word in relatives
    )
