"""What is found in a conversation."""

import pytest

from imagegen.prompts.conversation_reader import shipped_reader
from imagegen.prompts.scene import SceneSetting

READER = shipped_reader()


def _read(*texts: str) -> dict[str, str]:
    return {str(category): key for category, key in READER.setting(texts).found.items()}


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("We walked along the beaches.", {"place": "beach", "activity": "walking"}),
        ("Мы гуляли по пляжам", {"place": "beach", "activity": "walking"}),
        ("Я сейчас на КУХНЕ, пеку блинчики", {"place": "kitchen", "activity": "baking"}),
        ("Пошёл снег, надену пальто", {"weather": "snow", "clothes": "coat"}),
        (
            "jogging in the woods at dawn",
            {"place": "forest", "time": "dawn", "activity": "running"},
        ),
        ("вечерний концерт", {"place": "theatre", "time": "evening"}),
        ("В золотой час у реки", {"place": "river", "time": "sunset"}),
        ("the trees with golden leaves", {"season": "autumn"}),
        ("a coffee-shop", {"place": "cafe"}),
        ("a coffee shop", {"place": "cafe"}),
        ("ok", {}),
        ("", {}),
    ],
)
def test_words_are_known_in_any_form(text: str, setting: dict[str, str]) -> None:
    assert _read(text) == setting


@pytest.mark.parametrize(
    "text",
    [
        "It isn't raining",
        "It isn’t raining",
        "I never cook",
        "Я не в парке",
        "Сегодня без дождя",
        "Дождя нет",
        "I have left the office",
        "I come from the gym",
        "Только что ушла из кафе",
        "В душе я художник",
    ],
)
def test_what_is_not_there_is_not_read(text: str) -> None:
    assert _read(text) == {}


@pytest.mark.parametrize("text", ["No, in the park", "Нет, в парке", "Я ушла. Парк"])
def test_a_denial_ends_with_its_clause(text: str) -> None:
    assert _read(text) == {"place": "park"}


def test_the_first_mention_in_a_text_counts() -> None:
    assert _read("I am in the kitchen and dream of the sea")["place"] == "kitchen"


def test_the_first_text_counts_most_and_the_others_fill_in() -> None:
    assert _read("I am in the garden", "in the office this morning, in a coat") == {
        "place": "garden",
        "time": "morning",
    }


def test_what_was_done_at_an_earlier_place_is_over() -> None:
    assert _read("I am in the library now", "I swim in the sea") == {"place": "library"}


def test_an_activity_has_its_own_place() -> None:
    assert _read("I cook for us", "I was in the office") == {
        "place": "kitchen",
        "activity": "cooking",
    }


def test_an_activity_that_the_place_does_not_allow_is_left_out() -> None:
    assert _read("In the theatre I think of how we swim") == {"place": "theatre"}


def test_clothes_that_the_place_does_not_allow_are_left_out() -> None:
    assert _read("In the office, no bikini in sight, only a swimsuit") == {"place": "office"}


def test_a_text_without_end_is_read_at_its_beginning() -> None:
    assert _read("in the park " + "word " * 100_000 + "in the rain") == {"place": "park"}


def test_a_setting_of_a_later_version_is_read() -> None:
    assert SceneSetting.model_validate({"place": "moon", "smell": "of roses"}) == SceneSetting(
        place="moon"
    )
