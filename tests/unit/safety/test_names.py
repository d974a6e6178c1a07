"""Which names may be those of real people, and which words only have capitals."""

import pytest

from imagegen.safety.screen import CLEAR, ScreenVerdict, shared_screen

SCREEN = shared_screen()


@pytest.mark.parametrize(
    "text",
    [
        "Emma Stone, the actress",
        "Maria Sharapova",
        "emma stone",
        "draw Kate Winslet",
        "I met Saoirse Doherty there",
        "The film was by Quenby Ostrander.",
        "Мария Иванова пришла",
        "Анджелиной Джоли",
        "анджелиной джоли",
        "Ольгой Бузовой",
        "с Филиппом Киркоровым",
        "нарисуй Эмму Стоун",
    ],
)
def test_a_full_name_goes_never_above_safe(text: str) -> None:
    found = SCREEN.conversation(text)

    assert (found.verdict, found.rule) == (ScreenVerdict.SAFE_ONLY, "real_person")


@pytest.mark.parametrize(
    "text",
    [
        "draw yourself as the president of France",
        "стань похожа на президента США",
        "нарисуй себя как премьер-министр Италии",
        "pretend you are the first lady",
        "the actress who played her in the film",
        "королева Англии",
        "олимпийская чемпионка",
    ],
)
def test_who_is_known_by_their_office_or_role_goes_never_above_safe(text: str) -> None:
    found = SCREEN.conversation(text)

    assert (found.verdict, found.rule) == (ScreenVerdict.SAFE_ONLY, "real_person")


@pytest.mark.parametrize(
    "text",
    [
        "the president of the club called",
        "президент компании в отпуске",
        "you are my queen",
        "мой король",
    ],
)
def test_offices_of_a_club_and_pet_names_are_nobody(text: str) -> None:
    assert SCREEN.conversation(text) == CLEAR


@pytest.mark.parametrize(
    "text",
    [
        "I flew to New York",
        "Saint Petersburg is cold",
        "Happy New Year",
        "Merry Christmas, Lina",
        "Hello Lina",
        "Dear Anna",
        "I Love You",
        "San Francisco Bay",
        "He lives in North London",
        "the Eiffel Tower",
        "Red Square at night",
        "Нижний Новгород",
    ],
)
def test_places_days_and_greetings_are_nobody(text: str) -> None:
    assert SCREEN.conversation(text) == CLEAR


def test_the_personas_own_name_is_nobody_elses() -> None:
    prompt = "A picture of anna woman, Anna Bell, a fictional adult aged 24. Anna Bell sits."

    assert SCREEN.conversation("Hello Anna Bell!", persona="Anna Bell") == CLEAR
    assert SCREEN.conversation("Hello Anna Bell!").rule == "real_person"
    assert SCREEN.prompt(prompt) == CLEAR
    assert SCREEN.prompt(f"{prompt} Emma Stone sits too.").rule == "real_person"
