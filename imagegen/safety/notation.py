"""Numbers whose notation says that they are no age: ratios, weights, versions, times, prices; pure.

They are taken out of a text before its words are read. The year of a date stays, since it may be
that of a birth, and so do the numbers of a sum, with a word for the sign between them.
"""

import re

from imagegen import morphology

_DIGIT = re.compile(r"\d")
# With a disguise such as `1 5` a number may have a space inside, but no sign.
_NUMBER = r"(?<![\w.,:/#№$€£-])\d{1,4}"
_END = r"(?![\w:/]|[.,]\d)"
_WITHOUT_DIGITS = re.compile(
    r"(?i)thousand|\b(?:через|in|another|next)\s+(?:a |one )?(?:год|year|мес|month|нед|week)|🔟"
)
_ROMAN = {
    "I": 1,
    "II": 2,
    "III": 3,
    "IV": 4,
    "V": 5,
    "VI": 6,
    "VII": 7,
    "VIII": 8,
    "IX": 9,
    "X": 10,
}
_TEENS = r"(?:1\d\b|ten\b|eleven\b|twelve\b|(?:thir|four|fif|six|seven)teen\b)"
_HAN_TEENS = (
    r"(?<![二三四五六七八九\d])(?:1[0-7]|[1-9]|十[一二三四五六七]?|[一二三四五六七八九])(?!\d)"
)
# Chinese, Japanese and Korean, which are written without spaces.
_EAST_ASIAN = (
    (re.compile(rf"{_HAN_TEENS}\s?(?:[岁歲歳才]|살)"), " 15 years old "),
    (
        re.compile(
            "小学|小學|初中|初[一二三]|高中|高[一二三1-3]|中[1-3](?![0-9])|中学|中學|高校|年生|未成年|[没沒未]满十八|女孩|男孩|少女|少年"
            "|孩子|女儿|女兒|儿子|兒子|子供|子ども|娘が|息子|초등|중학|고등학|[초중고][1-6](?![0-9])|미성년|소녀|아이가|열[^ ]{0,2}\\s?살"
        ),
        " pupil ",
    ),
)
_IN_OTHER_WORDS = (
    # What a voice typed: "мне 15 запятая живу в Перми".
    (re.compile(r"(?i)\s+(?:запятая|comma)\b"), ","),
    (re.compile(r"(?i)\s+(?:вопросительный знак|question mark)\b"), "?"),
    (re.compile(r"(?i)\s+(?:точка|full stop)(?=\s*\Z)"), "."),
    # "Права? Мне рано." is one sentence.
    (re.compile(r"(?:\A|(?<=[.!?\n] ))(\w+(?: \w+){0,2})\?\s+(?=\w)"), r"\1, "),
    (re.compile(r"(?i)\b2[kк]([01]\d)\b"), r"20\1"),
    (re.compile(r"(?i)\b2[kк](\d)\b"), r"200\1"),
    (
        re.compile(
            r"(?i)\s(?:and (?:a half|three quarters|a quarter|a bit)|с (?:половиной|хвостиком|четвертью))\b"
        ),
        "",
    ),
    (re.compile(r"(?i)(?<!полу)\bгод(?:оч|к|ик)\w*"), "лет"),
    # "going on fifteen", "all of 15", "I am but fourteen"
    (
        re.compile(rf"(?i)(?<!\d )\b(?:going on|all of|(?<=m )but|(?<=is )but)\s+(?={_TEENS})"),
        "just ",
    ),
    (re.compile(r"(?i)\bбез малого\b"), "почти"),
    (re.compile(r"(?i)\{\{char\}\}"), "your character"),
    (re.compile(r"(?i)\{\{user\}\}"), "my character"),
    (re.compile(r"(?i)\b(?:появил|увидел)(\w*) (?:на )?свет\b"), r"родил\1"),
    (re.compile(r"(?i)\b(?:came|brought|come) into (?:the|this) world\b"), "born"),
    (re.compile(r"(?i)\b(лет|года?),(?= как\b)"), r"\1"),
    (re.compile(r"(?i)\b(\w+) more (?:birthdays?|b-?days?)\b"), r"in \1 years"),
    (re.compile(r"(?i)(?<=\d)\s?([ap])\.\s?m\b\.?"), r" \1m"),
)
# "a three-piece suit", "five-a-side", and no "six-year-old"
_JOINED = re.compile(
    r"(?i)\b(?:[2-9]|two|three|four|five|six|seven|eight|nine)-(?:a-)?"
    r"(?!year|yr|month|summer|winter|spring|teen|old|ish|going|and|grade|class|form|something|odd)"
    r"([a-z]{3,})(?!-old)\b"
)
_QUOTES = frozenset("«\"'")
_MONEY = "$€£₽¥"

_WORDS_OF_SUMS = (
    (re.compile(r"(?i)\bполтор[аы]\s+дюжин\w*"), "18"),
    (re.compile(r"(?i)\b(?:полтор[аы]|1[.,]5)\s+десятк\w*"), "15"),
    (re.compile(r"(?i)\b(?:half a|пол\s?) ?(?:dozen|дюжины)\b"), "6"),
    (re.compile(r"(?i)\bdozen\b([^.!?\d]{0,20}?\b)(?:and|plus)\s+(?:one|a year)\b"), r"13\1"),
)
_DECADES = (
    (re.compile(r"(?i)\bdecade and a half\b"), "15 years"),
    (re.compile(r"(?i)\b(?:one|a) decade (?:plus|and)\b"), "10 plus"),
    (re.compile(r"(?i)\ba decade old\b"), "10 years old"),
)
_SIGNS = (
    (re.compile("🔟"), " 10 "),
    (re.compile(r"(?i)(?<!\d)(\d\d)\s?/\s?[mfмжд]\b|\b[mfмжд]\s?/\s?(1[0-9])(?!\d)"), r" \1\2 yo "),
    (re.compile(r"(?i)(?:\A|(?<=[,;.\n]))\s*(1\d)\s?[mfмжпд](?=[\s,.]|\Z)"), r" \1 yo "),
    (re.compile(r"(?i)\bг\.?\s?р\b\.?"), " гр "),
    (re.compile(r"(?i)(?<=\d)\s?г\.\s+(?=[а-яё])"), " года "),
    (re.compile(r"(?i)\bрожд\."), "рождения"),
    (re.compile(r"(?i)\bb\.\s?(?=\d{4})"), "born "),
    # A school class and its letter: "в 5А", "9 «Б»".
    (
        re.compile(
            r"(?i)\b(?:в|из|с|со|за|учусь|учимся|учится),?\s+(\d{1,2})\s?[«\"]?[абвгд][»\"]?(?![\w])"
        ),
        r" в \1 класс ",
    ),
    (
        re.compile(
            r"(?i)\b(через|in|another)\s+(?:a\s+|one\s+)?(год|year|месяц|month|неделю|week)\b"
        ),
        r"\1 1 \2",
    ),
    (re.compile(r"(?i)\bnext year\b"), "in 1 year"),
    (re.compile(r"(?<=\d)\s*\+\s*(?=\d)"), " plus "),
    (re.compile(r"(?<=\d)\s*[×*]\s*(?=\d)|(?<=\d)\s+[xх]\s+(?=\d)"), " times "),
    (re.compile(r"(?<=\d)\s*[−–-]\s*(?=\d+\s*=)|(?<=\d)\s+[−–-]\s+(?=\d)"), " minus "),
    (re.compile(r"=\s*(?=[?\d])"), " "),
    (re.compile(r"(?i)\bthousand\s+and\b"), "thousand"),
)
_REWRITTEN = (*_WORDS_OF_SUMS, *_DECADES, *_IN_OTHER_WORDS, *_EAST_ASIAN)
# A school class and its letter in quotation marks: "из десятого «А»", "3«А»".
_QUOTED_LETTER = re.compile(
    r"(?i)(?:([а-яё]+) )?\b(\d{1,2}|(?:перв|втор|трет|четв[её]рт|пят|шест|седьм|восьм|девят|десят|одиннадцат)\w{1,3})"
    r"\s?[«\"'][абвгдежзикл][»\"'](?!\w)"
)
# "4в, прощай", and no house: "Ленина, 8б".
_CLASS_ALONE = re.compile(
    r"(?i)(?:\A|(?<=[,;(.!?\n]))\s*(1[01]|[1-9])[абвгд](?=\s*(?:[,.!?;)\n]|\Z))"
)
_ADDRESS = re.compile(
    r"(?i)\b(?:д|кв|ул|пр|пер|каб|корп|дом\w?|(?:улиц|адрес|подъезд|офис|домофон|этаж|проспект|переулок"
    r"|кабинет|корпус|цех|мест|квартир|строени)\w*)\b"
)
# The first characters of what follows: with them alone the search is seven times as fast.
_FIRST = rf"(?=[\d+:vf#№{_MONEY}])"
_NO_AGES = re.compile(
    _FIRST
    + "(?:"
    + "|".join(
        (
            r"(?:\+|\b)\d(?:[ ()-]{0,2}\d){8,}\b",  # a telephone number
            r"(?<=[^\W\d]):\d(?:\.\d+)?(?=\s*[)>\]])",  # the weight of a word: (word:1.2), <lora:x:1>
            r"\bv\.?\d+(?:\.\d+)*\b",  # a version
            r"\b\d+\.\d+\.\d+(?:\.\d+)*\b(?!\s*(?:г\b|года))",
            r"(?<!\w)\d{1,2}[.,](?!5)\d+\b(?!\s*(?:year|yr|y\.?o|лет|год))",  # 1.75, not 15.5
            rf"{_NUMBER}(?:\s?:\s?\d{{1,4}})+{_END}",  # 16:9, 12:30
            rf"[{_MONEY}#№]\s?\d+(?:[.,]\d+)?\b",
            rf"(?<!\w)\d+(?:[.,]\d+)?\s?[{_MONEY}%°](?!\w)",
            r"(?<!\w)\d+(?:[.,]\d+)?(?:k|к|gb|гб|mb|мб|mp|fps|hz|гц|mm|мм|cm|см|kg|кг|km|км|ml|мл|x|х)\b",
            r"\b(?:24/7|9-1-1|9/11|4/20)\b",
            r"\bf/\d+(?:\.\d+)?\b|(?<!\w)1/\d+\s?s?\b",
            r"(?<!\w)\d/\d{1,3}\b|(?<!\w)\d{1,3}/\d\b(?!\w)",  # 9/10
            r"(?<!\w)\d{1,4}\s?[x×х]\s?\d{1,4}\b",  # 3x4, 1024x768
        )
    )
    + ")",
    re.IGNORECASE,
)
_KEYS = str.maketrans("qwertyuiop[]asdfghjkl;'zxcvbnm,.`", "йцукенгшщзхъфывапролджэячсмитьбюё")
_WRONG_LAYOUT = re.compile(
    r"(?i)\b(?:vyt|tve|nt,t|ktn|rkfcc\w*|irjk\w*|ujlf|ltnb|gjlhjcn\w*|ltdjxr\w*|vfkmxbr\w*|ht,tyjr|yfwfnm\w*)(?!\w)"
)
# Their full stop ends no sentence: "каб. 11", "apt. 16".
_LABELLED = re.compile(
    r"(?i)\b(?:каб|кв|стр|эт|корп|оф|ауд|гл|рис|табл|ком|подъезд|apt|rm|ext|fig|vol|ch|pp?)\.\s?\d{1,4}\b"
    r"(?!\s?-?\s?(?:[глy]|year))"
)
_APERTURE = re.compile(r"(?i)\bf\s?/\s?(?:11|16|\d\.\d|[248])\b")
_ROMAN_YEARS = re.compile(r"\b(?:I{1,3}|IV|VI{0,3}|IX|X)\b(?=\s+(?:лет|год|years?\b))")
_DIVIDED = re.compile(r"(?<![\w.])(\d{2,3})(?:\s+/\s+|\s?÷\s?)([2-9])(?!\w|\.\d)")
_IN_CODE = re.compile(r"\b0(?:[xX][0-9a-fA-F]{1,2}|[bB][01]{4,5}|[oO][0-7]{2})\b")
_HALVED = re.compile(
    r"(?i)(?<![\w.])(\d{2})\W+(?:and\s+)?(?:halved?(?:\s+it)?|пополам|делить на два)\b"
)
_DATE = re.compile(
    r"(?<![\w.])\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})(?!\w)|(?<!\w)(\d{4})-\d\d-\d\d\b"
)


def without_other_numbers(text: str) -> str:
    """Return a text without the numbers that are no ages by their notation."""
    for words, number in _REWRITTEN:
        text = words.sub(number, text)
    if "-" in text:
        text = _JOINED.sub(r"\1", text)
    if not _QUOTES.isdisjoint(text):
        text = _QUOTED_LETTER.sub(_class, text)
    if _CLASS_ALONE.search(text) and not _ADDRESS.search(text):
        text = _CLASS_ALONE.sub(r" \1 класс", text)
    text = _ROMAN_YEARS.sub(lambda found: str(_ROMAN[found.group()]), text)
    if not _DIGIT.search(text) and not _WITHOUT_DIGITS.search(text):
        return text
    text = _LABELLED.sub(" ", _APERTURE.sub(" ", text))
    text = _DIVIDED.sub(lambda found: str(int(found.group(1)) // int(found.group(2))), text)
    text = _IN_CODE.sub(lambda found: str(int(found.group(), 0)), text)
    text = _HALVED.sub(lambda found: str(int(found.group(1)) // 2), _DATE.sub(_year, text))
    for sign, word in _SIGNS:
        text = sign.sub(word, text)
    return _NO_AGES.sub(" ", text)


def in_other_layout(text: str) -> str | None:
    """Return a text as the same keys write it in Russian ("vyt 15" is "мне 15"), None if it is none."""
    return text.lower().translate(_KEYS) if _WRONG_LAYOUT.search(text) else None


def _class(found: re.Match[str]) -> str:
    before, number = found.groups()
    if before and morphology.is_inanimate(before.lower()):
        return found.group()  # "корпус 8 «В»"
    return f"{before or ''} {number} класс"


def _year(date: re.Match[str]) -> str:
    year = date.group(1) or date.group(2)
    return f" {_full_year(year)} "


def _full_year(year: str) -> str:
    return year if len(year) > 2 else f"20{year}" if int(year) < 40 else f"19{year}"
