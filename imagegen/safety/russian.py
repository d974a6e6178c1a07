"""When a number is an age in Russian; pure."""

from imagegen import lemmas
from imagegen.safety.spoken import NOTHING, Around, Forms, words

UNITS: Forms = words(
    "секунда минута час день сутки неделя месяц метр километр км кг килограмм грамм процент градус"
    " рубль евро доллар раз страница человек штука балл копейка этаж литр"
)

_YEARS = words("год лето годик годок годы лет")
_SPAN_AFTER = words(
    "назад вместе подряд спустя стаж опыт работать знакомый знаком брак выдержка гарантия прошло"
)
_SPAN_BEFORE = words(
    "через за около последний следующий ближайший на свыше пройти прошлый прожить проработать"
    " вместе спустя ждать каждый первый целый"
)
_TO_WHOM = words("мне тебе ей ему вам еи еы")
_WHOSE = words("она он ты я")
_FILLERS = words(
    "около примерно где то почти всего только лишь едва уже скоро сейчас будет быть было стать"
    " исполниться исполняться стукнуть нет нету не еще типа вроде как бы под лет на вид точно чуть"
    " больше меньше максимум минимум до завтра сегодня теперь недавно пока достичь достигнуть"
)
_LOOKING = words("выглядеть выглядит")
_YOUNGER = words("младше моложе")
_GIVING = words("дать прислать купить взять отправить положить оставить нужно надо")
_A_FEW = 3
_TEENS = range(10, 19)
_A_LIFE_OF = range(11, 18)
_LAST_CLASS = 11


def is_age(around: Around) -> bool:
    """Say whether the number is somebody's age."""
    if around.number.is_ordinal:
        return around.value in _A_LIFE_OF and bool(
            around.first & {"весна", "рождение"}
            or (around.first & {"год"} and _is_to_somebody(around))
            or (around.first & {"день"} and around.second & {"рождение"})
        )
    if any(form.startswith("тилет") for form in around.first):  # `16-тилетняя`
        return True
    if around.first & _YEARS or (around.first & {"и"} and around.second & {"летний"}):
        return _is_to_somebody(around) or not _is_a_span(around)
    if around.first & {"л"} and around.value in _TEENS:
        return not around.last & {"на", "по"}
    if around.value in _TEENS and around.last & {"достичь", "достигнуть"}:
        return True
    if around.last & {"лет", "год", "возраст"}:
        # The English word let sounds like `лет`.
        return not (around.last & {"let"} and around.after)
    if around.last & _YOUNGER and around.value in _TEENS:
        return not around.first & UNITS
    return _is_to_somebody(around) and not _is_counted(around)


def grade(around: Around) -> int | None:
    """Return about how old those are who are in this class at school, if it is one."""
    of_school = around.first & {"класс", "классник", "классница"}
    # `9б` may be read as 96.
    value = around.value if around.value <= _LAST_CLASS else around.value // 10
    return value + 6 if of_school and 0 < value <= _LAST_CLASS else None


def _is_a_span(around: Around) -> bool:
    return around.near(_SPAN_BEFORE, before=2) or around.near(_SPAN_AFTER, after=4)


def _is_to_somebody(around: Around) -> bool:
    opener = around.opener(_FILLERS)
    last = opener[-1] if opener else NOTHING
    if last & (_TO_WHOM | _LOOKING):
        giving = opener[-2] if len(opener) > 1 else NOTHING
        return around.value >= _A_FEW and not giving & _GIVING
    # `она 15`, but not `она 15 минут молчала`.
    # The English word on sounds like `он`.
    return (
        bool(last & _WHOSE)
        and not last & {"on"}
        and (not around.first or bool(around.first & (_YEARS | {"и", "а"})))
    )


def _is_counted(around: Around) -> bool:
    """Whether something stands after the number of which there are so many: `мне два билета`."""
    for forms in around.after[:2]:
        if forms & UNITS or any(map(lemmas.is_noun, forms)):
            return True
        if not any(map(lemmas.is_adjective_of_many, forms)):
            return False
    return False
