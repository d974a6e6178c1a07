"""Whether a number is the age of a thing, an animal or a company, and no person's; pure."""

import itertools
import re
from collections.abc import Iterable, Sequence

from imagegen import morphology
from imagegen.safety import age_english, age_russian, word_classes
from imagegen.safety.age_context import NO_FORMS, Forms, NumberContext, is_english_plural, word_set
from imagegen.safety.age_subject import NO_PERSONS, person_meant, subject_words
from imagegen.safety.normalise import NormalisedSentence, sentences
from imagegen.safety.numbers import forms_of

_DETERMINERS = word_set("a an the this that my your his her our their")
# Between a number and what it is the age of: "a fifteen year old malt", "16-летний виски".
# These stand in questions about people too.
_ASKING = word_set(
    "date time number passport what which s that thats its this it school class grade story here there home это паспорт документ свеча"
)
_YEAR_WORDS = word_set("year years yr yrs old month months y o летний летн год лет годик")
_KINDS_OF_PRONOUNS = (
    (word_set("he she him her his hes shes"), frozenset({"animal"})),
    (word_set("она ей ее ею ней еи"), frozenset({"femn"})),
    (word_set("он ему его нем"), frozenset({"masc", "neut"})),
)
_RUSSIAN_MONTHS = word_set("месяц мес")
_RUSSIAN_YEARS = word_set("лет год годик")
# "Что подарить шестилетнему": an adjective without its noun is said of people in these cases.
_OBLIQUE_ENDINGS = ("летнему", "летнего", "летней", "летнюю", "летних", "летку", "летке", "леткой")
_YEARS_OR_MONTHS = _YEAR_WORDS | _RUSSIAN_MONTHS
# What shows somebody, or tells of them: "the scene: barely 18" is not the age of a scene.
_DEPICTIONS = word_set(
    "scene picture pic photo photograph portrait image drawing painting video story profile card sheet model"
    " novel tale plot roleplay сцена фото фотка картинка портрет снимок рисунок изображение анкета досье карточка"
    " описание модель история рассказ роман повесть сказка сюжет сценарий ролевая"
)
_BIRTHDAY = word_set("birthday bday")
_OWNERS = word_set("my your his her their")
_AGE = word_set("age aged ages возраст")
_PREPOSITIONS = word_set(
    "на в во под за с со к по из от у о об при без in on at from to next of across down near behind opposite with by"
)
_ASKED_BACK = re.compile(r"\W*(?:(?:the|a|my|your|his|her|our)\s)?(\w+)\?")
_POSSESSIVES = word_set("мой твой ваш наш его этот")
# After these, Russian nouns are in the plural.
_TENS = range(10, 18)
_DATIVE = word_set("мне тебе ей ему вам")
_NEW_CLAUSE = word_set("but because cuz bc")
_SHOWN, _I = word_set("this that"), word_set("i я")
_SAID = word_set(
    "in at of with to for on by is s was are isn wasn turns turned will ll must should looks old"
)
_MAX_DISTANCE = 7
_MAX_DISTANCE_AFTER = 5


def is_about_a_thing(sentence: NormalisedSentence) -> bool:
    """Whether a question about an age speaks of a thing and of nobody else."""
    forms_of_words = [(word.plain, forms_of(word)) for word in sentence.words]
    people = subject_words()["people"] | subject_words()["third"]
    if any(forms & people for _, forms in forms_of_words):
        return False
    before = (NO_FORMS, *(forms for _, forms in forms_of_words))
    return any(
        (forms & subject_words()["things"] and word not in _ASKING)
        or morphology.is_thing_in_dative(word)
        or (last & _POSSESSIVES and is_thing(word, forms) and morphology.is_nominative(word))
        for (word, forms), last in zip(forms_of_words, before, strict=False)
    )


def names_a_thing_first(answer: str) -> bool:
    """Whether an answer asks back for a thing: "Вину? Шестнадцать лет"."""
    found = _ASKED_BACK.match(answer)
    return found is not None and any(
        is_thing(word.plain, forms_of(word))
        for each in sentences(found.group(1))
        for word in each.words
    )


def named_things(sentence: NormalisedSentence) -> Forms:
    """Return the kinds of things that a sentence names, and "he" or "ей" may stand for afterwards.

    They are `animal`, or a grammatical gender for a Russian noun. There are none if the sentence
    names a person besides.
    """
    words = [(word.plain, forms_of(word)) for word in sentence.words]
    if any(forms & subject_words()["people"] for _, forms in words):
        return frozenset()
    before = ("", *(word for word, _ in words))
    return frozenset().union(
        *(_kinds(word, forms, last) for (word, forms), last in zip(words, before, strict=False))
    )


def is_of_a_thing(
    context: NumberContext, *, named_before: Forms = frozenset(), is_birth: bool = False
) -> bool:
    """Whether the number is the age of a thing, a company or an animal, or a span of time.

    `named_before` are the `named_things` of the sentence before. Beside a birth (`is_birth`), only
    what is known to be a thing counts: "полис" says nothing about "дата рождения 2013, полис".
    """
    if is_birth:
        return _is_birth_of_a_thing(context)
    if context.word_after & _BIRTHDAY and context.word_before & _OWNERS:
        return False
    if any(forms & _AGE for forms in context.before[-4:]) or _stands_before_a_person(context):
        return False
    if age_russian.is_of_a_person(context) or age_english.counts_years_of_life(context):
        return False
    animals = subject_words()["animals"]
    names_an_animal = any(forms & animals for forms in context.before)
    if age_russian.is_at_an_age(context) and not names_an_animal:
        return False
    if _stands_before_a_thing(context):
        return True
    if age_english.is_of_a_person(context):
        return False
    kinds = _kinds_of_pronouns(context.after[:3])
    if (is_thing := _stands_after_a_thing(context, kinds)) is not None:
        return is_thing
    kinds = kinds or _kinds_of_pronouns(context.before[::-1])
    if kinds:
        return bool(named_before & kinds)
    is_of_nobody = not any(map(person_meant, context.after[:3]))
    return is_of_nobody and context.number.is_age and bool(named_before)


def _is_birth_of_a_thing(context: NumberContext) -> bool:
    things = subject_words()["things"] | subject_words()["animals"]
    for word, forms in zip(context.words_before[::-1], context.before[::-1], strict=True):
        if person_meant(forms) or morphology.is_name(word):
            return False
        if forms & things and word not in _ASKING and not word.isdecimal():
            return True
    return False


def _stands_before_a_person(context: NumberContext) -> bool:
    """Whether the number is an attribute of a person: "a fourteen-year-old boy"."""
    after = itertools.dropwhile(lambda forms: bool(forms & _YEAR_WORDS), context.after[:4])
    return bool(next(after, frozenset()) & subject_words()["people"])


def _stands_before_a_thing(context: NumberContext) -> bool:
    """Whether the number is an attribute: "a fifteen year old malt", "16-летний виски"."""
    nearby = zip(context.words_after[:_MAX_DISTANCE_AFTER], context.after, strict=False)
    is_of_years = False
    for word, forms in nearby:
        if forms & _YEAR_WORDS:
            is_of_years = True
            continue
        if _is_done(word, context):
            return False
        if word not in _ASKING and is_thing(word, forms):
            return is_of_years or context.number.is_age or _may_be_counted(word, context)
        if not morphology.is_adjective(word):
            return False
    return False


def _is_done(word: str, context: NumberContext) -> bool:
    """Whether a word is what somebody does: "a five-year-old building a castle"."""
    after = context.words_after[context.words_after.index(word) + 1 :]
    return word.endswith("ing") and bool(after) and after[0] in _DETERMINERS


def _may_be_counted(word: str, context: NumberContext) -> bool:
    """Whether a noun has the form that it has after a number: "15 писем", but "мне 15 какой кредит"."""
    if word.isascii():
        return is_english_plural(word)
    is_said_of_somebody = context.value in _TENS and context.word_before & _DATIVE
    return not is_said_of_somebody or morphology.may_be_counted_in_tens(word)


def _stands_after_a_thing(context: NumberContext, kinds: Forms) -> bool | None:
    """Whether the nearest noun or pronoun before the number is a thing; None if there is none.

    Of a pronoun it is asked what it may stand for; `kinds` is that of one after the number.
    """
    follows_pronoun = bool(kinds)
    reach = _reach(context)
    in_clause = len(context.clause_before)
    words = [*zip(context.words_before, context.before, ("", *context.words_before), strict=False)]
    for distance, (word, forms, last) in enumerate(reversed(words)):
        if word in _NEW_CLAUSE:
            return None
        if word in _SHOWN and distance and not _is_said_of(words[-distance][0]):
            continue  # "my students this year", "that giant"
        if distance < len(words) - 1 and _is_in_a_phrase(words[: len(words) - 1 - distance]):
            continue  # "the girl in the photo", "to answer"
        if pronouns := _kinds_of_pronouns([forms]):
            kinds = kinds or pronouns
        elif (person_meant(forms) and not follows_pronoun) or morphology.is_name(word):
            return False
        elif (kinds and kinds & _kinds(word, forms, last)) or (
            not kinds
            and distance < reach
            and is_thing(word, forms)
            and (distance < in_clause or _may_belong_beyond_a_pause(context, word, forms, last))
        ):
            return True
    return None


def _is_said_of(word: str) -> bool:
    """Whether a word after "this" or "that" says something of it."""
    return word in _SAID or word.isdecimal()


def _reach(context: NumberContext) -> int:
    """Return how many words back a thing may stand that has this age, if no pronoun stands for it.

    A number that stands alone after a pause belongs to what is right before it: "the bike, 14". At
    the end of what somebody says of themselves it belongs to them: "I like horses, 13".
    """
    if context.starts_clause and not context.after and _is_of_who_speaks(context):
        return 0
    stands_alone = context.starts_clause and not context.word_after & _YEARS_OR_MONTHS
    is_of_somebody = context.number.is_age and context.word.endswith(_OBLIQUE_ENDINGS)
    return 1 if stands_alone or is_of_somebody else _MAX_DISTANCE


def _is_of_who_speaks(context: NumberContext) -> bool:
    """Whether the words before a number begin with "I", and end with no animal."""
    first = context.words_before[:1]
    is_own = any(word in _I or morphology.is_first_person(word) for word in first)
    return is_own and not context.word_before & subject_words()["animals"]


def _may_belong_beyond_a_pause(context: NumberContext, word: str, forms: Forms, last: str) -> bool:
    """Whether a number of Russian years may be that of what was named before a pause.

    "Собака, 7 лет", "вину? 7 лет" and "продам диван, 7 лет" may be; "качаюсь дома, 15 лет" is the
    age of who speaks. `last` is the word before the named one.
    """
    is_answer = morphology.may_be_thing_in_dative(word) and not morphology.is_nominative(word)
    if forms & subject_words()["animals"] or is_answer or _takes_a_thing(last):
        return True
    is_described = morphology.is_adjective(last) and context.words_before[-1] == word
    is_in_months = bool(context.word_after & _RUSSIAN_MONTHS)
    if (is_described or is_in_months) and morphology.is_nominative(word):
        return True  # "старый диван, 7 лет"
    is_years = context.word_after & (_RUSSIAN_YEARS | _RUSSIAN_MONTHS)
    return not (is_years or age_russian.is_year_and_months(context))


def _takes_a_thing(verb: str) -> bool:
    return morphology.is_verb(verb) and not verb.endswith(("ся", "сь"))


def _is_in_a_phrase(before: Sequence[tuple[str, Forms, str]]) -> bool:
    """Whether a word after these belongs to a preposition: "in the reference photo"."""
    between: list[str] = []
    for word, _, _ in before[:-4:-1]:
        if word in _PREPOSITIONS:
            return not between or between[-1] in _DETERMINERS or _are_adjectives(between)
        between.append(word)
    return False


def _are_adjectives(words: Iterable[str]) -> bool:
    return all(map(morphology.is_adjective, words))


def _kinds_of_pronouns(words: Sequence[Forms]) -> Forms:
    """Return the kinds of things that the first pronoun of the third person may stand for."""
    for forms in words:
        for pronouns, kinds in _KINDS_OF_PRONOUNS:
            if forms & pronouns and not forms & NO_PERSONS:
                return kinds
    return frozenset()


def _kinds(word: str, forms: Forms, before: str) -> Forms:
    if forms & subject_words()["animals"]:
        return frozenset({"animal", *morphology.genders(word)})
    if (
        before in _PREPOSITIONS
        or forms & subject_words()["unsaid"]
        or not morphology.is_inanimate(word)
    ):
        return frozenset()
    return morphology.genders(word)


def is_thing(word: str, forms: Forms) -> bool:
    """Whether a word of either language means a thing or an animal."""
    unsaid = subject_words()["unsaid"]
    if forms & _DEPICTIONS or word.isdecimal() or (word.isascii() and forms & unsaid):
        return False
    if forms & (subject_words()["things"] | subject_words()["animals"]):
        return True
    if word.isascii():
        return word_classes.is_thing(word) or word_classes.is_animal(word)
    is_named = morphology.may_be_first_name(word)
    return morphology.is_inanimate(word) and not is_named and not forms & unsaid
