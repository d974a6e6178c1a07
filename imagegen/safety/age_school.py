"""Ages of pupils and of teams, by the number of an English school year or class; pure."""

from imagegen.safety import age_english, age_subject, word_classes
from imagegen.safety.age_context import NumberContext, word_set

_LAST_GRADE = 13
_GRADES = range(5, 13)
_OF_SCHOOL = word_set(
    "homework math maths science english french spanish latin history geography biology physics chemistry art music"
    " project test exam exams essay report class lesson teacher book reader trip camp play concert team school"
    " uniform uniforms classroom locker desk yearbook photo photos picture portrait dance prom party gym gown dress skirt"
    " outfit clothes diary backpack"
)
_PUPILS = word_set(
    "student students pupil pupils kid kids boy girl child children teacher exam exams boards homework maths math"
)


def age_in_grade(context: NumberContext) -> int | None:
    """Return the approximate age of pupils if the number is a school grade, else None."""
    number, value = context.number, context.value
    if number.letter:
        return _age_in_group(context)
    if (number.is_ordinal and _is_in_a_grade(context)) or _is_in_a_class(context):
        return min(value + 5, 17)
    is_year = context.word_before & {"year", "yr"} and not context.word_after & {"of", "after"}
    is_one = context.word_after & {"grade", "grader", "graders"} or (
        context.word_before & {"grade"}
        and not number.is_ordinal
        and not _is_grade_of_a_thing(context)
    )
    is_first = is_year and context.near(frozenset({"in"}), before=2) and _is_of_a_person(context)
    is_one = is_one or (is_year and not number.is_ordinal and (value > 1 or is_first))
    return min(value + 5, 17) if is_one and 0 < value <= _LAST_GRADE else None


def _is_grade_of_a_thing(context: NumberContext) -> bool:
    """Whether a thing has a grade: "grade 8 bolts"."""
    word = context.words_after[0] if context.words_after else ""
    return word_classes.is_thing(word) and word not in _OF_SCHOOL


def _age_in_group(context: NumberContext) -> int | None:
    """Return the age of children who are called by a letter: "the u13s", "I'm in y8", "he's in p6"."""
    if context.number.letter == "u":
        return context.value - 1
    is_in = context.word_before & {"in", "start", "starts", "starting", "started", "from"}
    return context.value + 4 if is_in else None


def _is_in_a_grade(context: NumberContext) -> bool:
    """Whether somebody is in a grade that is not called one: "I'm in 9th and my brother in 7th"."""
    if context.value not in _GRADES or not context.word_before & {"in"}:
        return False
    if context.after and not context.word_after & (
        age_english.AFTER_AN_AGE | {"at", "this", "she", "he"}
    ):
        return False
    return context.near(age_english.TO_BE, before=2) and _is_of_a_person(context)


def _is_in_a_class(context: NumberContext) -> bool:
    """Whether somebody is in a class of a number: "a class 9 student", "I'm in class vii"."""
    if not context.word_before & {"class", "primary"} or not 0 < context.value <= _LAST_GRADE:
        return False
    if context.word_after & _PUPILS:
        return True
    opener = context.before[:-1]
    is_in = bool(opener) and bool(opener[-1] & {"in", "from", "of"})
    return is_in and not context.word_after & {"of"} and _is_of_a_person(context)


def _is_of_a_person(context: NumberContext) -> bool:
    return age_subject.person_of(context) is not None
