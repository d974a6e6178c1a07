"""What vocabulary.toml and the personas may say."""

from collections.abc import Iterator
from typing import Any

import pytest

from chatflow_hook.turn import Rating
from imagegen.prompts.conversation_reader import shipped_reader
from imagegen.prompts.scene import CATEGORIES
from imagegen.prompts.vocabulary import shipped_vocabulary
from imagegen.safety.clothing import is_bare
from imagegen.safety.known_words import unknown_words
from imagegen.safety.screen import CLEAR, shared_screen
from imagegen.workflows.persona import phrase_validator
from tests.support.shipped_workflows import shipped_workflows

KNOWN = shipped_vocabulary()
LIBRARY = shipped_workflows()
SCREEN = shared_screen()
PERSONAS = [workflow.persona for workflow in LIBRARY.workflows.values()]


def _phrases(toml_value: Any) -> Iterator[str]:
    match toml_value:
        case str():
            yield toml_value
        case dict():
            for name, value in toml_value.items():
                if name not in {"en", "ru", "places", "passed", "never_wears"}:
                    yield from _phrases(value)
        case list() | tuple():
            for value in toml_value:
                yield from _phrases(value)


PHRASES = sorted(
    {
        *_phrases(KNOWN.model_dump()),
        *(one for persona in PERSONAS for one in _phrases(persona.habits.model_dump())),
    }
)
PLACES = {
    *(place for activity in KNOWN.activity.values() for place in activity.places),
    *(place for clothes in KNOWN.clothes.values() for place in clothes.places),
}


def test_every_phrase_is_plain_english_of_twenty_words_at_most() -> None:
    assert [one for one in PHRASES if phrase_validator(20)(one) != one] == []


def test_the_screen_has_nothing_against_any_phrase() -> None:
    assert [one for one in PHRASES if SCREEN.prompt(f"Nora is {one}.") != CLEAR] == []


def test_no_phrase_is_bare() -> None:
    assert [one for one in PHRASES if is_bare(one, is_safe=False)] == []


def test_every_word_of_a_phrase_is_known() -> None:
    assert [word for one in PHRASES for word in unknown_words(one)] == []


def test_what_is_worn_at_safe_is_not_bare_there() -> None:
    safe = Rating.SAFE
    worn = [
        *(one for clothes in KNOWN.clothes.values() for one in clothes.at(safe)),
        *(one for place in KNOWN.place.values() if place.clothes for one in place.clothes.at(safe)),
        *(one for act in KNOWN.activity.values() if act.clothes for one in act.clothes.at(safe)),
        *(one for persona in PERSONAS for one in persona.habits.clothes),
        *KNOWN.otherwise.clothes,
        *KNOWN.poses.at(safe),
    ]

    assert [one for one in worn if is_bare(one, is_safe=True)] == []


def test_places_that_are_named_are_known() -> None:
    assert set(KNOWN.place) >= PLACES


def test_clothes_that_a_persona_never_wears_are_known() -> None:
    assert set(KNOWN.clothes) >= {one for who in PERSONAS for one in who.habits.never_wears}


def test_each_time_of_day_has_its_light() -> None:
    assert set(KNOWN.light) == {"any", *KNOWN.time}


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_word_is_found_in_a_talk(category: str) -> None:
    reader = shipped_reader()
    words = getattr(KNOWN, category)

    missed = [
        (key, text)
        for key, word in words.items()
        for text in (*word.en, *word.ru)
        if getattr(reader.setting([f"Da {text.removeprefix('=')} da"]), category) != key
    ]

    assert missed == []
