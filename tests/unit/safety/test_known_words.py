"""A text is drawn as it stands only if the screen can read each of its words."""

import pytest

from imagegen.safety.known_words import is_foreign, is_readable, unknown_words

ENGLISH = (
    "Anna's high-waisted trousers, a light-hearted smile, 85mm f/1.8, 4k, at the café in Kyoto"
)
RUSSIAN = "Девушка в зелёном пальто у окна кофейни, за окном дождь, рядом чашка латте"


@pytest.mark.parametrize(
    "text", [ENGLISH, RUSSIAN, "a bench 🌳 in the park", "(red dress:1.2)", ""]
)
def test_plain_english_and_russian_can_be_read(text: str) -> None:
    assert is_readable(text)


@pytest.mark.parametrize(
    "text",
    [
        "una chica joven en la playa",
        "une jeune femme à la plage",
        "eine junge Frau am Strand",
        "дівчина на березі моря",
        "kumsalda genç bir kadın",
        "młoda kobieta na plaży",
        "κορίτσι στην παραλία",
        "გოგონა სანაპიროზე",
        "海滩上的女人",
        "해변의 여자",
        "समुद्र तट पर महिला",
        "ילדה על החוף",
        "a woman and her muñeca in a park",  # one word is enough
        "devushka na plyazhe",
        "a gĩrl in the park",
        "a g1rl in the park",
        "a w*man in the park",
    ],
)
def test_one_word_that_no_dictionary_has_makes_a_text_unreadable(text: str) -> None:
    assert not is_readable(text)


@pytest.mark.parametrize(
    "text",
    [
        "a __colour__ dress",
        "a {red|blue} dress",
        "a dress <lora:some_style:0.8>",
        "embedding:some_style, a dress",
    ],
)
def test_what_a_host_fills_in_cannot_be_read(text: str) -> None:
    assert not is_readable(text)


def test_the_names_of_a_persona_are_known() -> None:
    assert unknown_words("Zhenyshka l1nazt by the sea", besides=("Zhenyshka", "l1nazt")) == []


@pytest.mark.parametrize(
    "text",
    [
        "tengo muchas ganas de verte mañana en la oficina",
        "ich freue mich sehr auf unser Treffen morgen",
        "я дуже чекаю на нашу зустріч у п'ятницю ввечері",
        "明天我们在办公室见面",
        "τα λέμε αύριο",
        "завтра кездесеміз деп ойлаймын қаладағы",
    ],
)
def test_a_message_of_another_language_cannot_be_read(text: str) -> None:
    assert is_foreign(text)


@pytest.mark.parametrize(
    "text",
    [
        "ахахаха ммм ну ок",
        "hahaha omg yesss",
        "скоро придут Ксюха, Светка и Ирка",
        "poshli segodnya vecherom v kino",
        "бл*ть, ну и х*рня",
        "¯\\_(ツ)_/¯",
        "3π",
        "https://example.com/aqwe/zxcv",
        "👍👍👍",
        "",
    ],
)
def test_slang_names_and_russian_in_latin_letters_are_no_other_language(text: str) -> None:
    assert not is_foreign(text)
