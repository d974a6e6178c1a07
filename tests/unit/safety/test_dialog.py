"""What a message means by those before it, and who is meant by it."""

import datetime as dt
import functools

import pytest

from chatflow_hook.turn import Message
from imagegen.safety.reading_time import readable
from imagegen.safety.screen import CLEAR, Screen, ScreenVerdict, Subject, shared_screen

SCREEN = shared_screen()


def _said(dialog: str) -> list[Message]:
    """Return the messages of "u: hello / a: hi": u is the user, a the persona."""
    parts = (part.partition(": ") for part in dialog.split(" / "))
    return [Message(role="user" if who == "u" else "persona", text=text) for who, _, text in parts]


@pytest.mark.parametrize(
    ("dialog", "subject"),
    [
        ("a: How old are you? / u: 15", Subject.USER),
        ("a: Wine tonight? / u: no, 15", Subject.USER),
        ("a: Куришь? / u: нет, 14", Subject.USER),
        ("u: Do you drink? / a: Nope, sixteen.", Subject.PERSONA),
        ("a: Any siblings? / u: 2, 13 and 17", Subject.THIRD),
        ("a: Дети есть? / u: двое, 5 и 9", Subject.THIRD),
        ("a: How old are you? / u: Why? / a: Just so. / u: fifteen", Subject.USER),
        ("u: How old are you? / a: Fifteen.", Subject.PERSONA),
        ("a: В каком ты классе? / u: в восьмом", Subject.USER),
        ("a: Год рождения? / u: 2011", Subject.USER),
        ("a: Тебе есть 18? / u: нет", Subject.USER),
        ("a: Are you under 18? / u: yes", Subject.USER),
        ("a: Сколько лет вашей дочке? / u: девять", Subject.THIRD),
        ("u: Who am I to you? / a: Who am I? / u: a squire, fifteen", Subject.PERSONA),
        ("a: I'm 19, you? / u: two less", Subject.USER),
        ("a: мне девятнадцать, а вам? / u: пятнадцать", Subject.USER),
        ("a: ты взрослая? / u: пока нет", Subject.USER),
        ("u: а тебе скока? / a: Шестнадцать, а что?", Subject.PERSONA),
        ("a: And her? / u: she's also 14", Subject.THIRD),
        ("u: I am 15", Subject.USER),
        ("a: I am 15", Subject.PERSONA),
        ("u: you are 15", Subject.PERSONA),
        ("a: тебе 15", Subject.USER),
        ("u: my son is 7", Subject.THIRD),
        ("u: pretend you are a teen", Subject.PERSONA),
        ("u: i'm fif / u: teen", Subject.USER),
        ("u: мне 1 / u: 3 лет", Subject.USER),
        ("u: the boy is / a: Go on. / u: twelve", Subject.THIRD),
        ("u: сестре 20 / a: ого / u: она старше меня на шесть лет", Subject.USER),
    ],
)
def test_it_is_found_who_is_a_minor(dialog: str, subject: Subject) -> None:
    subjects = {found.subject for found in SCREEN.findings(*_said(dialog))}

    assert subject in subjects


@pytest.mark.parametrize(
    "dialog",
    [
        "a: How old is the wine? / u: 15",
        "a: How many eggs? / u: 12",
        "a: How old are you? / u: 15 minutes, brb",
        "a: How old are you? / u: twenty six",
        "a: Год рождения? / u: 1987",
        "a: Тебе есть 18? / u: да",
        "a: When does the bar close? / u: 11",
        "a: How many beers did you have? / u: 12",
        "a: Beer at 14? / u: no, 15",
        "a: Do you smoke? / u: no",
        "u: I am at work. / u: 15 minutes left",
        "u: Is the dog okay? / a: He's thirteen.",
        "u: Купил машину / u: Ей 15 лет",
        "u: I'm 30 / u: my wife is 5 years younger",
    ],
)
def test_what_is_no_age_of_a_person_is_clear(dialog: str) -> None:
    assert SCREEN.conversation(*_said(dialog)) == CLEAR


def test_who_was_a_child_long_ago_is_nobody_to_remember() -> None:
    (found,) = SCREEN.findings("When I was 12 we moved to the coast.")

    assert (found.verdict, found.subject) == (ScreenVerdict.SAFE_ONLY, None)


def test_years_of_birth_are_read_by_the_calendar() -> None:
    in_2020 = Screen(today=functools.partial(dt.date, 2020, 6, 1))
    in_2040 = Screen(today=functools.partial(dt.date, 2040, 6, 1))

    assert in_2020.conversation("I was born in 2008").subject is Subject.USER
    assert in_2040.conversation("I was born in 2008") == CLEAR


def test_a_text_that_takes_too_long_to_read_is_unread() -> None:
    words = " ".join(f"слово{number:x}кщ" for number in range(2_000))

    found = SCREEN.conversation("hello", words, "how are you")

    assert (found.verdict, found.rule) == (ScreenVerdict.SAFE_ONLY, "unread")


def test_a_character_that_stands_for_a_phrase_takes_as_long_as_its_words() -> None:
    message = Message(role="user", text="\ufdfa" * 4_096)

    assert readable([message]) == []


def test_what_is_newer_than_an_unread_message_is_read() -> None:
    words = " ".join(f"слово{number:x}кщ" for number in range(2_000))

    assert SCREEN.conversation(words, "I am 15, naked").verdict is ScreenVerdict.REFUSED


def test_a_prompt_is_read_whole_however_long_it_takes() -> None:
    words = " ".join(f"слово{number:x}кщ" for number in range(2_000))

    assert SCREEN.prompt(f"{words}. She is 15.").verdict is ScreenVerdict.REFUSED
