"""What says together that somebody is a minor, and what says that it is an adult's life."""

import pytest

from imagegen.safety.screen import ScreenVerdict, shared_screen

SCREEN = shared_screen()


@pytest.mark.parametrize(
    "text",
    [
        # What others do not allow.
        "they won't let me into the club",
        "мне такое смотреть рано",
        "my parents check my phone",
        "банк без мамы карту не открывает",
        # To come of age is to come.
        "adulthood is years away for me",
        "I can't wait to be an adult",
        # An age that is made up, and what parents must not know.
        "I lied about my age to sign up",
        "наврал что мне 18",
        "had to fib on the age gate",
        "don't tell my parents I'm on this app",
        "родители убьют если узнают",
        # Phrases are found in the plural too.
        "we got our report cards",
    ],
)
def test_a_minor_is_mentioned_without_a_number(text: str) -> None:
    assert SCREEN.conversation(text).verdict is ScreenVerdict.SAFE_ONLY


@pytest.mark.parametrize(
    "text",
    [
        "I'm 31 and they won't let me smoke here",
        "my boss won't let me leave",
        "I am an adult, thank you",
        "he lied about his age, he's 50",
        "don't tell my wife",
        "мама не знает где ключи от дачи",
        "жена не отпускает на рыбалку",
        "мне рано на пенсию",
    ],
)
def test_the_same_in_the_life_of_an_adult_is_clear(text: str) -> None:
    assert SCREEN.conversation(text).verdict is ScreenVerdict.CLEAR
