"""What a message means by the messages before it: answers to questions, and sentences cut in two; pure."""

import datetime as dt
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chatflow_hook.turn import Message
from imagegen import morphology
from imagegen.safety import age_context, age_detection, age_relations
from imagegen.safety.age_context import ADULT, NumberContext
from imagegen.safety.age_subject import USER, Person, Role, Subject, person_in
from imagegen.safety.age_things import is_about_a_thing, names_a_thing_first
from imagegen.safety.normalise import plain, sentences
from imagegen.safety.notation import without_other_numbers

_AGE_QUESTION = re.compile(
    r"how old(?! (?:is|was) (?:it|that|this)\b\W*(?:now|$))|\b(?:your|ur|his|her|my|whats|what s|the) age\b|(?<!\bits )\bage\s*\?|^age\b|\bages? of\b|\basl\b|a/s/l"
    r"|how many (?:years|summers|winters)|years? (?:have|are) you"
    # "I'm 19, you?"
    r"|\b(?:мне|i ?'?m|i am) (?:\d\d|\w+(?:teen|ty|цать|сорок))[\s,.-]+(?:а |and |how about |what about )?(?:тебе|вам|you|u)\b"
    r"|(?:сколько|скок[ао]?) (?:[а-я-]+ ){0,3}(?:лет|годиков|зим|весен)|\b(?:сколько|скок[ао]?)\b[^.!?]{0,12}\b(?:тебе|вам|ей|ему)\b|(?:тебе|вам|ей|ему)\b[^.!?]{0,16}\b(?:сколько|скок[ао]?)\b"
    r"|возраст|\bлет\?|\bлет (?:[а-я-]+ ){0,2}сколько|candles|свеч(?:ек|ки)|скольки лет|skolko (?:tebe|let|vam)|skoka let"
)
_CLASS_QUESTION = re.compile(
    r"(?:what|which) (?:grade|class|year|form)\b(?! were| was| did| is it)|\bgrade\b[^.!?]*\?"
    r"|year (?:are you|is (?:he|she)) in|в каком\b[^.!?]{0,20} класс|какой\b[^.!?]{0,12} класс|класс\?"
)
# A class with its letter: "9в".
_CLASS = re.compile(r"\b(?:[1-9]|1[01])\s?[«\"]?[абвгдеж]\b")
_ROLLS = re.compile(r"кубик|\bброс(?:ай|аю|ок|ь)\b|\broll|\bd20\b|\bdice\b")
# How long a couple is together: in a question, and in its answer.
_COUPLE = re.compile(
    r"\bв браке|годовщин|\bженат|замужем|вместе|married|marriage|anniversary|together"
)
# A question for no number: "married?", "16 lol no".
_MARRIED = re.compile(r"\W*(?:married|женат|замужем)\W*\Z")
_ANNIVERSARY = re.compile(r"годовщин|anniversary|со свадьбы|since the wedding")
_AGE_WORD = re.compile(r"\bage|how old|возраст")
_DURATION = re.compile(r"\bдавно\b|как долго|how long")
_PERHAPS_AGE = frozenset({"perhaps_age"})
_AGES = _PERHAPS_AGE | {"age", "own_age"}
_MAX_NUMBER = 2  # words
_ENDS_WITH_YOU = re.compile(r"\b(?:тебе|вам|you|u)\W*\Z")
_HOW_MANY = re.compile(r"\b(?:сколько|скок[ао]?)\s*\?*\s*\Z")
_BIRTH_QUESTION = re.compile(
    r"^\W*(?:year|год)\s*\?|\bborn\b|birth|\bbday\b|\bdob\b|год\w* рожден|дат\w* рожден|родил|како\w+ (?:ты )?года|с какого года"
    r"|день рожден|\bдр\b"
)
_ADULT_QUESTION = re.compile(
    r"\b18\b|eighteen|восемнадцат|adult\b|of age\b|\blegal\b|grown.?up|\bvote\b|\bdrive\b|голосовать|водить|совершеннолетн|взросл|old enough"
)
_MINOR_QUESTION = re.compile(
    r"under(?:age)?\b|younger|minor\b|not yet|младше|моложе|нет (?:18|восемнадцати)|несовершеннолетн"
    r"|still (?:at|in) (?:high |middle )?school|школьник|школьница|ходишь в школу|a kid\b|a child\b|ребенок"
)
_YES = re.compile(r"\s*(?:well,? )?(?:yes|yea|yep|yup|ye|sure|i am|да\b|ага|угу|ну да|конечно|уже)")
# The day of coming of age is to come.
_NOT_YET = re.compile(
    r"следующ|через|скоро|будет|исполнится|стукнет|осталось|еще не|\b(?:next|soon|will|gonna|almost|not yet|in (?:a|one|two|three|four|five|\d+) )"
)
_MAX_AGE = 110
_NO = re.compile(
    r"\s*(?:well,? |um+,? |эм+,? |ну,? )?(?:no\b|nope|nah|not\b|almost|nearly|soon|can ?t|cannot|нет|неа|не\b|еще|пока"
    r"|почти|скоро|никак|ни\b)"
)
# What nobody sells to minors: "wine tonight?", "no, 15".
_FOR_ADULTS = re.compile(
    r"\b(?:wine|beers?|vodka|whisk(?:y|ey)|gin|champagne|prosecco|cocktails?|drinks?|drinking|alcohol|smok(?:e|es|ing)"
    r"|vap(?:e|es|ing)|cig(?:s|gy|arettes?)|weed|casino|clubbing|nightclub|pub|tattoos?|tinder"
    r"|вин[оаца]|винишк\w+|пив[оаца]|пивк\w+|пивас\w*|водк[ауи]|коньяк\w*|шампанск\w+|коктейл\w+|алкоголь|пьешь|пьете|выпьем|выпить|бухнем"
    r"|курите|куришь|курнем|вейп\w*|сигарет\w*|кальян\w*|казино|клуб|тату\w*)\b"
)
_ASKS_FOR_A_NUMBER = re.compile(
    r"\d|\bhow (?:many|much|old|long|far|often)\b|возраст|\bwhen\b|\bwhat time\b|сколько|скок[ао]\b|\bкогда\b|\bчасов\b"
)
_WORDS_OF_REFUSAL = re.compile(
    r"\W*(?:(?:no|nope|nah|sorry|lol|haha|can ?t|not|yet|нет|неа|не|рано|еще|пока|мне|i ?m|im|i am|only|just|тока|только)\b\W*)*"
)
_KIN_QUESTION = re.compile(
    r"\b(?:siblings?|brothers|sisters|kids|children|nephews|nieces|sons|daughters|grandkids|grandchildren"
    r"|братья|братьев|сестры|сестер|сестренк\w+|дети|детей|детки|деток|детишк\w+|внук[иов]+|племянник\w+)\b"
)
_MIN_LISTED_AGE, _MIN_TEEN = 3, 10
_WHO_QUESTION = re.compile(
    r"who am i|who do i play|what am i|my (?:role|character)|кто я\b|кем (?:мне|я)|моя роль"
)
_STUDENT = re.compile(
    r"курс|универ|вуз|college|uni\b|university|semester|graduat|master|phd|аспирант"
)

_SENTENCE_END = re.compile(r"(?:(?<!\.)\.|[!?…])[\"'»”)\s]*\Z")
_CUT = re.compile(r"^[\s.…-]+|(?:\.{2,}|…|-)\s*\Z")
_COMPARISON = re.compile(r"younger|older|junior|senior|младше|моложе|старше")
_KNOWN_AGES = 6  # messages
_LAST_WORD, _FIRST_WORD = re.compile(r"\w+\Z"), re.compile(r"\A\w+")
_MAX_ANSWER, _MAX_REPLY = 8, 10  # words
_MAX_ASIDE = 3  # words of the other side between the two parts of a sentence
_MAX_PART = 160  # characters on each side of a cut
_QUESTION_HOLDS = 3  # messages


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An age below 18 that a short answer gives, with the one who is asked about."""

    person: Person
    role: Role


def joined_parts(messages: Sequence[Message]) -> Iterator[tuple[int, str]]:
    """Yield the index of each message that goes on with a sentence, and this sentence as a whole.

    A sentence comes a second time if a word of it may have been cut, with this word as one.
    """
    run = ""
    for index, message in enumerate(messages):
        first = _first_part(messages, index)
        if first is None:
            run = ""
            continue
        start = (run if run and first == index - 1 else _CUT.sub("", messages[first].text))[
            -_MAX_PART:
        ]
        rest = _CUT.sub("", message.text)[:_MAX_PART]
        run = f"{start} {rest}"
        yield index, run
        if _is_word_cut(start, rest):
            yield index, f"{start}{rest}"


def replies(messages: Sequence[Message]) -> Iterator[int]:
    """Yield the index of each short message that follows one of the other side."""
    for index, (before, message) in enumerate(itertools.pairwise(messages), start=1):
        if before.role != message.role and len(message.text.split()) <= _MAX_REPLY:
            yield index


def answers(messages: Sequence[Message], today: dt.date) -> Iterator[tuple[int, Answer]]:
    """Yield the index of each message that answers a question for an age with one below 18."""
    for index, message in enumerate(messages):
        if len(message.text.split()) > _MAX_ANSWER:
            continue
        for asked in range(index - 1, max(-1, index - 1 - _QUESTION_HOLDS), -1):
            question = messages[asked]
            is_own = question.role == message.role
            if is_own and (asked == index - 1 or _asked_about(question.text) is not Person.FIRST):
                continue  # only "how old am I?" is answered by the one who asks
            if _is_answered(messages, asked, index):
                continue
            if _is_of_a_couple(plain(question.text), plain(message.text)):
                continue
            if _is_minor(plain(question.text), message.text, today):
                yield index, Answer(person=_asked_about(question.text), role=question.role)
                break


def other_answers(messages: Sequence[Message]) -> Iterator[tuple[int, frozenset[str]]]:
    """Yield the indices of short answers whose numbers mean no age by their question.

    They tell a roll of dice, something of a thing, or how long something lasts. With each come the
    topics of ages that its numbers do not mean.
    """
    for index, (before, message) in enumerate(itertools.pairwise(messages), start=1):
        question, words = plain(before.text), len(message.text.split())
        if words <= _MAX_ASIDE and (_ROLLS.search(question) or _ROLLS.search(plain(message.text))):
            yield index, _PERHAPS_AGE
            continue
        is_answer = before.role != message.role and question.rstrip().endswith("?")
        if is_answer and words <= _MAX_ANSWER:
            yield index, _not_meant(question, message.text)


def _not_meant(question: str, answer: str) -> frozenset[str]:
    """Return the topics of ages that the numbers of an answer do not mean."""
    is_of_a_couple = _is_of_a_couple(question, plain(answer))
    if not is_of_a_couple and (_asks_for_age(question) or _is_elliptic(question)):
        return frozenset()
    if _DURATION.search(question) and not any(map(person_in, sentences(answer))):
        return _AGES
    is_of_a_thing = _AGE_QUESTION.search(question) and any(
        map(is_about_a_thing, sentences(question))
    )
    return _PERHAPS_AGE if is_of_a_couple or is_of_a_thing else frozenset()


def ages_by_difference(messages: Sequence[Message], today: dt.date) -> Iterator[tuple[int, Answer]]:
    """Yield the index of each message that says how much younger somebody is than one of known age.

    The known age may be in the same message or in one of the few before it.
    """
    for index, message in enumerate(messages):
        if not _COMPARISON.search(plain(message.text)):
            continue
        known = [
            age
            for earlier in messages[max(0, index - _KNOWN_AGES) : index + 1]
            for sentence in sentences(without_other_numbers(earlier.text))
            for age in age_detection.ages_in(sentence, today)
            if age.is_grown
        ]
        for sentence in sentences(without_other_numbers(message.text)):
            for difference in age_relations.differences(sentence):
                if any(difference.makes_a_minor(age.years, age.person) for age in known):
                    yield index, Answer(person=difference.person, role=message.role)


def given_roles(messages: Sequence[Message]) -> Iterator[tuple[int, frozenset[Subject]]]:
    """Yield the indices of messages that answer the persona's question whom it plays.

    With each come those of whom they speak: the persona, and the user who answers as "I".
    """
    for index, (before, message) in enumerate(itertools.pairwise(messages), start=1):
        if before.role != message.role == USER and _WHO_QUESTION.search(plain(before.text)):
            is_own = any(person_in(each) is Person.FIRST for each in sentences(message.text))
            yield index, frozenset({Subject.PERSONA, *([Subject.USER] if is_own else [])})


def _first_part(messages: Sequence[Message], index: int) -> int | None:
    """Return the index of the message whose last sentence a message goes on with, or None."""
    role = messages[index].role
    for before in (index - 1, index - 2):
        if before < 0:
            return None
        if messages[before].role == role:
            return None if _is_ended(messages[before].text) else before
        if len(messages[before].text.split()) > _MAX_ASIDE:
            return None
    return None


def _is_word_cut(start: str, rest: str) -> bool:
    """Whether the last word of a part may go on with the first of the next."""
    pieces = _LAST_WORD.search(start), _FIRST_WORD.search(rest)
    words = [piece.group().lower() for piece in pieces if piece]
    if len(words) < len(pieces):
        return False
    if rest[0].isupper() or words[0].isdecimal() != words[1].isdecimal():
        return False
    is_russian = not "".join(words).isascii()
    return not is_russian or morphology.is_known("".join(words))


def _is_ended(text: str) -> bool:
    return bool(_SENTENCE_END.search(text)) and not text.rstrip().endswith(("...", "…"))


def _is_minor(question: str, answer: str, today: dt.date) -> bool:
    said = plain(answer)
    if (
        _ADULT_QUESTION.search(question)
        and not _MINOR_QUESTION.search(question)
        and (_NO.match(said) or (_NOT_YET.search(said) and not _YES.match(said)))
    ):
        return True
    if _MINOR_QUESTION.search(question) and _YES.match(said) and "?" in question:
        return True
    if _refuses_by_age(question, answer) or _lists_ages_of_kin(question, answer):
        return True
    if not _asks_for_age(question) or names_a_thing_first(said):
        return False
    is_class = _CLASS_QUESTION.search(question) and not _STUDENT.search(said)
    is_birth = _BIRTH_QUESTION.search(question)
    is_age = (
        _AGE_QUESTION.search(question) or _ADULT_QUESTION.search(question) or _is_how_many(question)
    )
    numbers = [
        context
        for sentence in sentences(without_other_numbers(answer))
        for context in age_context.numbers_in(sentence)
        if not is_age or not context.is_counted(_COUNTED, until=_YEARS)
    ]
    if is_class and (_CLASS.search(said) or any(0 < each.value <= 12 for each in numbers)):
        return True
    if is_birth and any(_is_birth_of_a_minor(each, today) for each in numbers):
        return True
    return bool(is_age) and any(
        0 < each.value < ADULT or _is_in_the_past(each.value, today) for each in numbers
    )


def _refuses_by_age(question: str, answer: str) -> bool:
    """Whether an answer has only an age of a teenager, as why not: "wine tonight?", "no, 15"."""
    if not _FOR_ADULTS.search(question) or _ASKS_FOR_A_NUMBER.search(question):
        return False
    left = _WORDS_OF_REFUSAL.sub("", plain(answer), count=1)
    numbers = _numbers_alone(left)
    return len(numbers) == 1 and _MIN_TEEN <= numbers[0] < ADULT


def _lists_ages_of_kin(question: str, answer: str) -> bool:
    """Whether an answer lists ages of children or siblings: "any siblings?", "2, 13 and 17"."""
    numbers = _numbers_alone(answer) if _KIN_QUESTION.search(question) else []
    return len(numbers) > 1 and any(_MIN_LISTED_AGE < number < ADULT for number in numbers)


def _numbers_alone(text: str) -> list[int]:
    """Return the numbers of a text that has nothing but numbers and "and"; empty if it has more."""
    said = [word for sentence in sentences(text) for word in age_context.spoken_words(sentence)]
    counted = [word.number for word in said if word.plain not in {"and", "и"}]
    return [number.value for number in counted if number is not None] if all(counted) else []


def _is_of_a_couple(question: str, answer: str) -> bool:
    """Whether a question is for the years of a couple, and nobody's age."""
    if _AGE_WORD.search(question) or _MARRIED.match(question):
        return False
    if any(map(person_in, sentences(question))):
        return False
    return bool(_COUPLE.search(question) or _ANNIVERSARY.search(answer))


def _is_answered(messages: Sequence[Message], asked: int, index: int) -> bool:
    """Whether a question was answered with a number, and the same side has asked another since."""
    asks_again = any(
        later.role == messages[asked].role and later.text.rstrip().endswith("?")
        for later in messages[asked + 1 : index]
    )
    return asks_again and any(
        later.role == messages[index].role and _has_only_a_number(later.text)
        for later in messages[asked + 1 : index]
    )


def _has_only_a_number(text: str) -> bool:
    return len(text.split()) <= _MAX_NUMBER and any(
        age_context.numbers_in(sentence) for sentence in sentences(text)
    )


def _is_how_many(question: str) -> bool:
    """Whether a question is one such as "А сестре сколько?"."""
    return bool(_HOW_MANY.search(question)) and any(map(person_in, sentences(question)))


def _is_elliptic(question: str) -> bool:
    """Whether a question such as "And her?" goes on with another."""
    words = question.split()
    is_short = 1 < len(words) <= _MAX_ASIDE and words[0] in {"and", "а", "и"}
    return is_short and any(map(person_in, sentences(question)))


def _asks_for_age(question: str) -> bool:
    patterns = (_AGE_QUESTION, _CLASS_QUESTION, _BIRTH_QUESTION, _ADULT_QUESTION, _WHO_QUESTION)
    is_asked = any(pattern.search(question) for pattern in patterns) or _is_how_many(question)
    return is_asked and not any(map(is_about_a_thing, sentences(question)))


def _is_in_the_past(year: int, today: dt.date) -> bool:
    """Whether a year of birth is one of a story, in which somebody may be of any age."""
    return 1000 < year < today.year - _MAX_AGE


_COUNTED = age_context.word_set(
    "minute hour second day week минута час секунда день неделя раз times am pm o clock"
)
_YEARS = age_context.word_set("year years yr yrs год лет and и")


def _is_birth_of_a_minor(context: NumberContext, today: dt.date) -> bool:
    year = context.value
    if year < 100:
        is_year = context.number.is_ordinal or (len(context.before) < 2 and not context.after)
        year += 2000 if is_year else 0
    return today.year - ADULT <= year <= today.year


def _asked_about(question: str) -> Person:
    """Return of whom a question speaks, as seen by the one who asks."""
    people = [person for sentence in sentences(question) if (person := person_in(sentence))]
    if _ENDS_WITH_YOU.search(question) and Person.THIRD not in people:
        return Person.SECOND
    if Person.THIRD in people:
        return Person.THIRD
    return people[0] if people else Person.SECOND
