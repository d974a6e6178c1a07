"""When a number is an age in Russian; pure."""

import itertools

from imagegen import morphology
from imagegen.safety.age_context import ADULT, NO_FORMS, Forms, NumberContext, word_set
from imagegen.safety.lexicon import shipped_lexicon

UNITS: Forms = word_set(
    "секунда минута час день сутки неделя месяц метр километр км кг килограмм грамм процент градус"
    " рубль евро доллар раз страница человек штука балл копейка этаж литр мин сек ч шт руб р тыс т гр"
    " кк лвл фраг"
)

_YEARS = word_set("год лето годик годок годы лет зима весна років роки рік рокив роки")
_SPAN_AFTER = word_set(
    "женатый женаты замужем назад вместе подряд спустя стаж опыт работать знакомый знаком трезвый чистый без со с от завязка брак выдержка гарантия прошло"
)
_SPAN_BEFORE = word_set(
    "через за около последний следующий ближайший на свыше пройти прошлый прожить проработать"
    " вместе спустя ждать каждый первый целый"
)
_OF_A_FIRM = word_set("годовщина юбилей стаж")
_NO = word_set("нет нету")
_COMING_AGES = (14, 16, 18)
_LATE = word_set("пенсия ипотека кредит")
_LEFT = word_set("мне тебе ей ему вам нам еще осталось конца ровно всего")
_MAX_UNTIL = 3  # words
_BETWEEN_WHOM = word_set("мной мною нами тобой ними вами ней ним")
_TOGETHER = word_set(
    "женатый женаты замужем вместе знакомый знакомы дружить дружба развод брак стаж"
)
_DATIVE = word_set("мне тебе ей ему вам еи еы мені їй йому тобі")
_PEOPLE: Forms = frozenset(shipped_lexicon("subjects")["people"])
_ANIMALS: Forms = frozenset(shipped_lexicon("subjects")["animals"])
UNSAID: Forms = frozenset(shipped_lexicon("subjects")["unsaid"])
_KIN: Forms = word_set(
    "младший старший средний близнец двойняшка сын дочь дочка сестра брат племянник племянница внук внучка братишка сестренка"
)
_NOMINATIVE = word_set("она он ты я")
_FILLERS = word_set(
    "э ээ эм эмм мм ну вот короче значит типо около примерно где то почти всего только лишь едва уже скоро сейчас будет быть было стать"
    " исполниться исполняться стукнуть нет нету не еще типа вроде как бы под лет на вид точно чуть"
    " и по больше меньше максимум минимум до завтра сегодня теперь недавно пока достичь достигнуть"
    " годик годок от сила полный аж ведь всё все целый"
)
_SEASONS_OF_LIFE = word_set("зима весна")
_TO_LOOK = word_set("выглядеть выглядит")
_YOUNGER = word_set("младше моложе")
_GOES_ON = word_set("пойти идти разменять")
_AGO = word_set("назад")
_TO_GIVE = word_set("дать прислать купить взять отправить положить оставить нужно надо")
_MET = word_set(
    "познакомиться встретиться увидеться столкнуться разговориться повстречаться подружиться"
)
_MIN_AGE = 3
# Fewer months or days are a span.
_MONTHS, _DAYS = 24, 1000
_PARTS_OF_DAY = word_set("утро вечер день ночь час мин минута число")
_TO_COME_OF_AGE = word_set("исполниться исполняться стукнуть минуть отмечать справить справлять")
_VERBS_OF_AGE = word_set(
    "исполниться исполняться стукнуть минуть быть есть стать выглядеть дать достичь достигнуть отмечать"
    " пойти казаться сказать говорить знать думать написать представить ждать"
)
_TIME_BEFORE = word_set("в к с до после около на через по за")
_TEENS = range(10, 19)
_ORDINAL_AGES = range(2, 19)
_BELONGING = word_set("по из в с со на от через за у для моей моему твоей твоему нашей нашему")
_MAX_BELONGING = 4  # words
_MIN_DENIAL = 2  # words
_LETTER = 2  # "седьмой бэ"
# "в семь лет", but "срок в семь лет", "раз в четыре года"
_AT_AGE = word_set("в с до для от под")
_AT_MONTHS = word_set("в с для")
_BABY_UNITS = word_set("месяц мес неделя нед день")
_MAX_BABY_MONTHS, _MONTHS_OF_YEAR = 24, 12
_MONTH_WORDS = word_set("месяц мес")
_SPEAKERS = word_set("мне тебе вам")
_THIRD_DATIVE = word_set("ей ему")
_ALL_DATIVE = word_set("нам вам им всем обоим обеим")
_ALLOWED = word_set("можно нельзя рано")
_PROOFS = word_set("паспорт")
_PASSPORT_AGE = 14
_LEVEL = word_set("лвл lvl")
_HERE = word_set("на тут здесь")
_BETWEEN = word_set("с со у в на по за к ко о об от до из для")
_BEFORE_A_SPAN = word_set(
    "раз разница срок стаж опыт перерыв пауза кредит ипотека гарантия рассрочка контракт договор"
    " хранение брак заключение выдержка план"
)


def is_age(context: NumberContext) -> bool:
    """Whether the number is somebody's age."""
    if context.number.is_ordinal:
        return _is_year_of_life(context)
    return _is_in_months(context) or _is_in_seasons(context) or _is_in_years(context)


def is_at_an_age(context: NumberContext) -> bool:
    """Whether something happens at an age: "в пять лет пора читать", "кружок для 6 лет"."""
    is_in_years = context.word_after & _YEARS and context.word_before & _AT_AGE
    is_in_months = context.word_after & _MONTH_WORDS and context.word_before & _AT_MONTHS
    if not is_in_years and not (is_in_months and context.value < _MAX_BABY_MONTHS):
        return False
    own = context.before[-2] if len(context.before) > 1 else NO_FORMS
    return not own & _BEFORE_A_SPAN and not context.near(_AGO, after=3)


def is_of_a_person(context: NumberContext) -> bool:
    """Whether a number is a person's age by the word beside it.

    "десять лет мне", "взяли сестру 13 лет", "паренёк лет шестнадцати", "нашей три"
    """
    if context.words_before[-2:] == ("в", "свои"):
        return not _is_counted(context)
    if context.words_before[-1:] == ("лет",):
        return context.word.endswith("и") or _is_person(*context.clause_before[-2:-1])
    if context.word_after & _YEARS:
        return bool(context.second_after & _SPEAKERS) or _stands_after_a_person(context)
    is_small = _MIN_AGE <= context.value < ADULT and not context.after
    return is_small and _is_of_one_called_by_an_adjective(context)


def _is_of_one_called_by_an_adjective(context: NumberContext) -> bool:
    """Whether an adjective stands for the person: "мелкой 3", "опекаемой исполнилось 15"."""
    words = [word for word in context.clause_before if not is_said_of_ages(word)]
    words = [*itertools.dropwhile(lambda word: word in _FILLERS, reversed(words))]
    return (
        bool(words)
        and not context.number.is_ordinal
        and morphology.is_adjective_in_dative(words[0])
        and not any(map(_keeps_an_adjective, words[1:2]))
    )


def _keeps_an_adjective(word: str) -> bool:
    """Whether an adjective belongs to a word before it, and not to a person: "в старой", "коту нашему"."""
    return word in _BETWEEN or (morphology.is_noun(word) and not _is_person(word))


def is_since_birth(context: NumberContext) -> bool:
    """Whether it is said of years or days that they are a life: "трёх лет от роду"."""
    return context.words_after[1:3] == ("от", "роду") or context.words_after[1:2] == ("отроду",)


def _stands_after_a_person(context: NumberContext) -> bool:
    """Whether the noun for a person that stands before a number of years has these years."""
    if not context.clause_before:
        return False
    noun = context.clause_before[-1]
    if not _is_person(noun):
        return False
    is_subject = morphology.is_nominative(noun)
    if not is_subject:
        is_alone = context.clause_before[-2:-1] not in (("с",), ("со",), ("у",))
        return is_alone or _is_met(context)
    verbs = any(map(morphology.is_verb, context.words_after[1:4]))
    return not verbs or bool(context.word_before & _KIN)


def _is_met(context: NumberContext) -> bool:
    """Whether somebody was met, which takes no years: "познакомился с девушкой 15 лет"."""
    return context.near(_MET, before=5) and not context.near(_AGO, after=3)


def _is_person(noun: str = "") -> bool:
    lemmas = morphology.lemmas(noun)
    is_living = morphology.is_living_being(noun) or not _PEOPLE.isdisjoint(lemmas)
    return is_living and _ANIMALS.isdisjoint(lemmas)


def is_said_of_ages(word: str) -> bool:
    """Whether a Russian verb is said of ages, as in "мне исполнилось"."""
    return not _VERBS_OF_AGE.isdisjoint(morphology.lemmas(word))


def _is_year_of_life(context: NumberContext) -> bool:
    if context.value not in _ORDINAL_AGES:
        return False
    if context.word_after & _YEARS:  # "шестнадцатый год мне пошел", "пятнадцатое лето на свете"
        is_alive = context.near({"жизнь", "свет"}, after=4)
        is_of_somebody = context.near(_DATIVE, before=3, after=3) or is_said_of_person(context)
        return is_alive or is_of_somebody or context.near(_GOES_ON, before=2, after=3)
    if context.near(_GOES_ON, before=2, after=2) and context.near(_DATIVE, before=3, after=3):
        return not any(map(may_have_a_number, context.words_after[:1]))  # "мне пошёл пятнадцатый"
    is_birthday = context.word_after & {"день"} and context.second_after & {"рождение"}
    return bool(context.word_after & {"весна", "рождение"} or is_birthday)


def _is_in_months(context: NumberContext) -> bool:
    is_long = (context.value >= _MONTHS and context.word_after & {"месяц"}) or (
        context.value >= _DAYS and context.word_after & {"день"}
    )
    if is_long and context.word_before & _DATIVE:
        return True
    is_of_a_baby = context.word_after & _BABY_UNITS and context.value < _MAX_BABY_MONTHS
    if not is_of_a_baby or len(context.after) > 1:
        # "в 10 мес рано", "год и пять"
        return is_at_an_age(context) or is_year_and_months(context)
    if context.starts_clause:
        return bool(context.word_after & _MONTH_WORDS and context.before)
    is_of_some = (
        context.words_before[-1:] == ("нам",)
        or is_said_of_person(context)
        or _is_of_one_called_by_an_adjective(context)
    )
    last = context.words_before[-1]
    return is_of_some and not (last in _SPEAKERS or morphology.is_unknown(last))


def is_year_and_months(context: NumberContext) -> bool:
    """Whether it is said how many months old somebody is after a year: "год и пять"."""
    return (
        context.words_before[-2:] == ("год", "и")
        and context.value < _MONTHS_OF_YEAR
        and not _is_counted(context)
    )


def _is_in_seasons(context: NumberContext) -> bool:
    """Whether winters or springs are counted for years: "шестнадцать зим встретила я"."""
    is_counted = context.word_after & _SEASONS_OF_LIFE and context.value in _TEENS
    return bool(is_counted) and not context.near(_AGO, after=3)


def _is_in_years(context: NumberContext) -> bool:
    if any(form.startswith("тилет") for form in context.word_after):  # `16-тилетняя`
        return True
    if context.word_after & _YEARS or (
        context.word_after & {"и"} and context.second_after & {"летний"}
    ):
        return _is_years_of_somebody(context)
    if context.word_after & {"л"} and context.value in _TEENS:
        return not context.word_before & {"на", "по"}
    if context.value in _TEENS and context.word_before & {"достичь", "достигнуть"}:
        return True
    if is_of_a_person(context) or _is_said_without_years(context):
        return True
    if context.word_before & (_YEARS | {"возраст"}):
        # The English word "let" is also read as `лет`.
        return not (context.word_before & {"let"} and context.after) and not is_span(context)
    if _is_said_of_after(context):
        return True
    if context.word_before & _YOUNGER and context.value in _TEENS:
        return not context.word_after & UNITS
    return _is_of_somebody(context) and not _is_counted(context)


def _is_years_of_somebody(context: NumberContext) -> bool:
    if context.near(_AGO, after=3) or _is_left_or_between(context):
        return False
    if context.words_before and morphology.may_be_named(context.words_before[-1]):
        return True
    is_said = _is_of_somebody(context) or bool(context.second_after & _DATIVE)
    return is_said or not is_span(context)


def _is_said_without_years(context: NumberContext) -> bool:
    return _is_not_yet_of_age(context) or _is_allowed_at(context) or _is_said_in_slang(context)


def may_have_a_number(word: str) -> bool:
    """Whether an ordinal number may belong to the word after it: "в седьмом ряду", but "седьмой бэ"."""
    is_said = morphology.is_noun(word) or morphology.is_adjective(word)
    return is_said or (morphology.is_unknown(word) and len(word) > _LETTER)


def _is_said_of_after(context: NumberContext) -> bool:
    """Whether the person stands after the number, or a verb of age before it: "пятнадцать мне"."""
    if context.value < _MIN_AGE or _is_counted(context):
        return False
    if context.near(_TO_COME_OF_AGE, before=2, after=2):
        return not context.word_before & _TIME_BEFORE
    own = context.before[-2] if len(context.before) > 1 else NO_FORMS
    is_past = own & {"быть"} and len(context.before) > 2 and context.before[-3] & _NOMINATIVE
    if context.word_before & {"в"} and is_past and context.value in _TEENS:
        return True  # "какой ты была в 12"
    if context.word_before & {"свой", "мой", "твой", "ее", "его"} and own & {"в"}:
        return True
    return (
        context.value in _TEENS
        and bool(context.word_after & _DATIVE)
        and not context.word_before & _TIME_BEFORE
    )


def is_said_of_person(context: NumberContext) -> bool:
    """Whether a person in the dative stands before a number, with what belongs to it.

    "соседке по парте 13", "мне в мае 17"
    """
    words = [*context.words_before[: len(context.opener(_FILLERS))]]
    if context.word_before & _TIME_BEFORE or any(map(_is_other_verb, context.clause_before)):
        return False
    are_times = True
    for at in range(len(words) - 1, max(-1, len(words) - 2 - _MAX_BELONGING), -1):
        if morphology.is_person_in_dative(words[at]):
            return not at or words[at - 1] not in {"к", "ко", "по"}
        if words[at] in _DATIVE:
            return are_times
        if not (words[at] in _BELONGING or morphology.is_noun(words[at])):
            return False
        are_times = are_times and (words[at] in _BELONGING or bool(context.before[at] & UNSAID))
    return False


def _is_other_verb(word: str) -> bool:
    return morphology.is_verb(word) and not is_said_of_ages(word)


def _is_not_yet_of_age(context: NumberContext) -> bool:
    """Whether somebody is not 18, or counts the days until then: "восемнадцати нет", "до 18 далеко"."""
    if context.value not in _COMING_AGES or context.number.is_ordinal or _is_counted(context):
        return False
    if context.value == ADULT and not context.before and context.word_after & _NO:
        return True
    counts_days = len(context.before) > 1 and context.before[-2] & (_YEARS | _BABY_UNITS)
    is_until = bool(counts_days and not context.after) or bool(context.word_after & {"далеко"})
    return is_until and bool(context.word_before & {"до"})


def _is_allowed_at(context: NumberContext) -> bool:
    """Whether something is allowed at an age: "в 13 можно краситься?", "паспорт дали в 14"."""
    if context.value not in _TEENS or not context.word_before & {"в", "с"}:
        return False
    if context.number.is_ordinal or _is_counted(context) or context.near(_PARTS_OF_DAY, after=2):
        return False
    words = {*context.clause_before[-4:], *context.words_after[:2]}
    is_passport = context.value == _PASSPORT_AGE and context.near(_PROOFS, before=8, after=5)
    return not words.isdisjoint(_ALLOWED) or is_passport


def _is_said_in_slang(context: NumberContext) -> bool:
    """Whether an age is said as in "15 лвл на связи", "ненавижу быть 13", "нам по 13"."""
    if context.word_after & _LEVEL and (context.starts_clause or context.word_before & {"я"}):
        return len(context.after) == 1 or bool(context.second_after & _HERE)
    if context.after or context.number.is_ordinal or context.value <= _MIN_AGE:
        return False
    if context.words_before[-1:] == ("быть",) and context.value < ADULT:
        return True
    *_, person, by = ("", "", *context.clause_before)
    return by == "по" and person in _ALL_DATIVE


def is_span(context: NumberContext) -> bool:
    """Whether a number of years is a span of time."""
    if _is_left_or_between(context):
        return True
    if is_at_an_age(context) or is_of_a_person(context) or is_since_birth(context):
        return False
    if context.second_after & {"как"} or context.near(_AGO, after=3):
        return True  # "12 лет как развелись", "три года назад"
    if context.near(_OF_A_FIRM, before=6) and morphology.is_inanimate(context.words_before[-1]):
        return True  # "юбилей фирмы, 15 лет"
    if _is_denied_since(context):
        return True  # "десять лет не виделись"
    if ("нам", "с") in itertools.pairwise(context.words_before):
        return True  # "нам с женой 15 лет"
    where = context.words_after[2:4]  # "15 лет в логистике", "в одной бочке"
    if where and morphology.is_adjective(where[0]):
        where = where[1:]
    if context.second_after & {"в", "на", "из"} and any(map(morphology.is_inanimate, where[:1])):
        return not where[0].startswith("школ")
    if any(map(morphology.is_verb, context.clause_before)) or any(
        map(morphology.is_verb, context.words_after[1:2])
    ):
        # "работаю здесь 12 лет", but "в 12 лет"
        return not context.word_before & {"в"} and not context.near(
            _VERBS_OF_AGE, before=4, after=2
        )
    before = min(2, len(context.clause_before))
    return context.near(_SPAN_BEFORE | _TOGETHER, before=before) or context.near(
        _SPAN_AFTER, after=5
    )


def _is_left_or_between(context: NumberContext) -> bool:
    return _is_until_later(context) or _is_between_people(context)


def _is_until_later(context: NumberContext) -> bool:
    """Whether years are left until an adult's pension or debt ends: "до пенсии мне ещё 5 лет"."""
    before = [word for word in context.clause_before if word not in _LEFT]
    until = [before[-2:], before[-3:-1], [*context.words_after[1:3]]]
    if len(context.after) > _MAX_UNTIL:
        until.pop()
    return any(
        each[:1] == ["до"] and any(not _LATE.isdisjoint(morphology.lemmas(w)) for w in each[1:])
        for each in until
    )


def _is_between_people(context: NumberContext) -> bool:
    """Whether years are a difference: "между нами с мужем 4 года", "разница у нас 12 лет"."""
    pairs = itertools.pairwise((*context.clause_before, ""))
    return any(word == "между" and after in _BETWEEN_WHOM for word, after in pairs)


def _is_of_somebody(context: NumberContext) -> bool:
    opener = context.opener(_FILLERS)
    last = opener[-1] if opener else NO_FORMS
    if context.word_before & {"к", "в", "с", "через"}:
        return False
    if last & (_DATIVE | _TO_LOOK):
        word_before_person = opener[-2] if len(opener) > 1 else NO_FORMS
        is_two = context.value == _MIN_AGE - 1 and bool(last & _THIRD_DATIVE) and not context.after
        is_enough = context.value >= _MIN_AGE or (
            is_two and not any(map(_is_other_verb, context.clause_before))
        )
        return is_enough and not word_before_person & _TO_GIVE
    is_named = bool(opener) and morphology.may_be_named(context.words_before[len(opener) - 1])
    if is_named and context.value in _TEENS:
        return not _is_counted(context) and not context.word_before & _TIME_BEFORE
    if context.value in _TEENS and is_said_of_person(context):
        return not _is_counted(context)
    if last & (_PEOPLE | {"персонаж", "герой", "героиня"}) and (
        context.value in _TEENS or last & _KIN
    ):
        return context.value >= _MIN_AGE and not _is_counted(context)
    # `она 15` is an age, `она 15 минут молчала` is not. The English word "on" is also read as `он`.
    return (
        bool(last & _NOMINATIVE)
        and not last & {"on"}
        and (not context.word_after or bool(context.word_after & (_YEARS | {"и", "а"})))
    )


def _is_counted(context: NumberContext) -> bool:
    """Whether the number counts what stands after it, as in `мне два билета`."""
    for word, forms in zip(context.words_after[:2], context.after, strict=False):
        # Russian in Latin letters is known by its readings only.
        readings = forms if word.isascii() else (word,)
        nouns = filter(morphology.is_noun, readings)
        is_in_tens = context.value in _TEENS
        if forms & (UNITS | {"of"}) or any(
            not is_in_tens or morphology.may_be_counted_in_tens(noun) for noun in nouns
        ):
            return True
        if not any(map(morphology.is_adjective_of_many, readings)):
            return False
    return False


def _is_denied_since(context: NumberContext) -> bool:
    """Whether something is said not to be done for so many years: "десять лет мы не виделись"."""
    said = [word for word in context.words_after[1:5] if word not in {"я", "мы", "уже"}]
    is_past = len(said) > _MIN_DENIAL and said[1].startswith("был")
    return said[:1] == ["не"] and (is_past or any(map(_is_other_verb, said[1:3])))
