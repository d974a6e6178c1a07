"""Ages of pupils and of teams, by the number of a school year or class; pure."""

from imagegen.safety import age_english, age_russian, age_subject, word_classes
from imagegen.safety.age_context import NumberContext, word_set

_LAST_GRADE = 13
_GRADES = range(5, 13)
_OF_SCHOOL = word_set(
    "homework math maths science english french spanish latin history geography biology physics chemistry art music"
    " project test exam exams essay report class lesson teacher book reader trip camp play concert team school"
    " uniform uniforms classroom locker desk yearbook photo photos picture portrait dance prom party gym gown dress skirt"
    " outfit clothes diary backpack"
)
# What doctors grade.
_AILMENTS = word_set(
    "sprain strain tear tears tumor tumour tumors tumours glioma astrocytoma sarcoma carcinoma cancer lesion lesions"
    " concussion burn burns separation prolapse reflux hemorrhoids haemorrhoids murmur bleed listing listed"
)
_PUPILS = word_set(
    "student students pupil pupils kid kids boy girl child children teacher exam exams boards homework maths math"
)

_TO_FINISH = word_set("окончить закончить заканчивать оканчивать")
_CLASS = word_set("класс классник классница клас классе кл")
# "Восьмой класс точности" is no class of a school.
_NO_CLASSES = word_set(
    "опасность точность жилье зачет защита комфорт обслуживание энергопотребление прочность"
    " надежность сложность"
)
_LAST_CLASS = 11
_MIN_BEFORE_CLASS = 2  # words


def age_in_grade(context: NumberContext) -> int | None:
    """Return the approximate age of pupils if the number is a school grade or class, else None."""
    english = _age_in_english_grade(context)
    return _age_in_russian_class(context) if english is None else english


def _age_in_english_grade(context: NumberContext) -> int | None:
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
    """Whether a thing or an injury has a grade: "grade 8 bolts", "a grade 3 ankle sprain"."""
    word = context.words_after[0] if context.words_after else ""
    is_thing = word_classes.is_thing(word) and word not in _OF_SCHOOL
    return is_thing or context.near(_AILMENTS, after=3)


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


def _age_in_russian_class(context: NumberContext) -> int | None:
    if _is_praise(context):
        return None
    is_class = bool(context.word_after & _CLASS) and not context.second_after & _NO_CLASSES
    is_class = is_class or _is_a_class_unsaid(context)
    # `9б`, the class 9 b, may be read as 96.
    value = context.value if context.value <= _LAST_CLASS else context.value // 10
    return value + 6 if is_class and 0 < value <= _LAST_CLASS else None


def _is_praise(context: NumberContext) -> bool:
    """Whether "первый класс" is all that a sentence says; an answer is read with its question."""
    return context.value == 1 and not context.before and len(context.after) == 1


def _is_a_class_unsaid(context: NumberContext) -> bool:
    """Whether an ordinal number stands for a class: "перешла в десятый", "Лена в седьмом"."""
    if not context.number.is_ordinal or context.value > _LAST_CLASS:
        return False
    if len(context.before) < _MIN_BEFORE_CLASS:
        return False
    if any(map(age_russian.may_have_a_number, context.words_after[:1])):
        return False  # "в седьмом ряду"
    if context.near(_TO_FINISH, before=1, after=1):
        return True
    is_out = context.word_before & {"из"} and not context.word.endswith("ой")
    return bool(context.word_before & {"в", "во"} or is_out)
