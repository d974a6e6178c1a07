"""When a number is an age in Russian; pure."""

from imagegen import morphology
from imagegen.safety.age_context import NO_FORMS, Forms, NumberContext, word_set

UNITS: Forms = word_set(
    "секунда минута час день сутки неделя месяц метр километр км кг килограмм грамм процент градус"
    " рубль евро доллар раз страница человек штука балл копейка этаж литр"
)

_YEARS = word_set("год лето годик годок годы лет")
_SPAN_AFTER = word_set(
    "назад вместе подряд спустя стаж опыт работать знакомый знаком брак выдержка гарантия прошло"
)
_SPAN_BEFORE = word_set(
    "через за около последний следующий ближайший на свыше пройти прошлый прожить проработать"
    " вместе спустя ждать каждый первый целый"
)
_TO_WHOM = word_set("мне тебе ей ему вам еи еы")
_WHOSE = word_set("она он ты я")
_FILLERS = word_set(
    "около примерно где то почти всего только лишь едва уже скоро сейчас будет быть было стать"
    " исполниться исполняться стукнуть нет нету не еще типа вроде как бы под лет на вид точно чуть"
    " больше меньше максимум минимум до завтра сегодня теперь недавно пока достичь достигнуть"
)
_LOOKING = word_set("выглядеть выглядит")
_YOUNGER = word_set("младше моложе")
_GIVING = word_set("дать прислать купить взять отправить положить оставить нужно надо")
_A_FEW = 3
_TEENS = range(10, 19)
_A_LIFE_OF = range(11, 18)
_LAST_CLASS = 11


def is_age(around: NumberContext) -> bool:
    """Say whether the number is somebody's age."""
    if around.number.is_ordinal:
        return around.value in _A_LIFE_OF and bool(
            around.word_after & {"весна", "рождение"}
            or (around.word_after & {"год"} and _is_to_somebody(around))
            or (around.word_after & {"день"} and around.second_after & {"рождение"})
        )
    if any(form.startswith("тилет") for form in around.word_after):  # `16-тилетняя`
        return True
    if around.word_after & _YEARS or (
        around.word_after & {"и"} and around.second_after & {"летний"}
    ):
        return _is_to_somebody(around) or not _is_a_span(around)
    if around.word_after & {"л"} and around.value in _TEENS:
        return not around.word_before & {"на", "по"}
    if around.value in _TEENS and around.word_before & {"достичь", "достигнуть"}:
        return True
    if around.word_before & {"лет", "год", "возраст"}:
        # The English word let sounds like `лет`.
        return not (around.word_before & {"let"} and around.after)
    if around.word_before & _YOUNGER and around.value in _TEENS:
        return not around.word_after & UNITS
    return _is_to_somebody(around) and not _is_counted(around)


def grade(around: NumberContext) -> int | None:
    """Return about how old those are who are in this class at school, if it is one."""
    of_school = around.word_after & {"класс", "классник", "классница"}
    # `9б` may be read as 96.
    value = around.value if around.value <= _LAST_CLASS else around.value // 10
    return value + 6 if of_school and 0 < value <= _LAST_CLASS else None


def _is_a_span(around: NumberContext) -> bool:
    return around.near(_SPAN_BEFORE, before=2) or around.near(_SPAN_AFTER, after=4)


def _is_to_somebody(around: NumberContext) -> bool:
    opener = around.opener(_FILLERS)
    last = opener[-1] if opener else NO_FORMS
    if last & (_TO_WHOM | _LOOKING):
        giving = opener[-2] if len(opener) > 1 else NO_FORMS
        return around.value >= _A_FEW and not giving & _GIVING
    # `она 15`, but not `она 15 минут молчала`.
    # The English word on sounds like `он`.
    return (
        bool(last & _WHOSE)
        and not last & {"on"}
        and (not around.word_after or bool(around.word_after & (_YEARS | {"и", "а"})))
    )


def _is_counted(around: NumberContext) -> bool:
    """Whether something stands after the number of which there are so many: `мне два билета`."""
    for forms in around.after[:2]:
        if forms & UNITS or any(map(morphology.is_noun, forms)):
            return True
        if not any(map(morphology.is_adjective_of_many, forms)):
            return False
    return False
