"""The hook's cheap look finds whatever the screen finds of minors, and leaves plain talk alone."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatflow_hook.prefilter import needs_reading
from imagegen import resources
from imagegen.safety.screen import shared_screen

SAFETY = Path(__file__).parents[1] / "safety"
# Lists of which one word is enough to be about a minor; all others count only beside these.
LISTS = {
    "minors": ("codes", "looks", "family", "school", "diminutives", "expecting", "as_written"),
    "foreign": ("words",),
    "coming_of_age": (
        "too_young",
        "rights",
        "goods",
        "parents",
        "implied",
        "sums",
        "lessons",
        "majority",
        "refused",
        "age_proof",
    ),
}


def _phrases() -> Iterator[str]:
    for name, topics in LISTS.items():
        text = resources.path(f"imagegen/safety/lexicon/{name}.toml").read_text("utf-8")
        lexicon = tomllib.loads(text)
        for topic in topics:
            words = lexicon[topic]
            yield from (phrase.removesuffix("*") for lists in words.values() for phrase in lists)


def _messages(name: str) -> Iterator[list[str]]:
    for line in (SAFETY / "lists" / f"{name}.jsonl").read_text("utf-8").splitlines():
        yield [message["text"] for message in json.loads(line)["messages"]]


def test_each_phrase_of_the_lexicons_of_minors_is_noticed() -> None:
    assert [phrase for phrase in _phrases() if not needs_reading(phrase)] == []


@pytest.mark.parametrize("name", ["mentions", "later/mentions"])
def test_each_mention_of_a_minor_is_noticed_in_one_of_its_messages(name: str) -> None:
    assert [said for said in _messages(name) if not any(map(needs_reading, said))] == []


@pytest.mark.parametrize("name", ["forbidden.txt", "mentions.txt"])
def test_each_disguise_that_the_screen_reads_is_noticed(name: str) -> None:
    lines = (SAFETY / name).read_text("utf-8").splitlines()
    of_minors = [
        line
        for line in lines
        if any(found.subject is not None for found in shared_screen().findings(line))
    ]

    assert len(of_minors) >= 40
    assert [line for line in of_minors if not needs_reading(line)] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello, how was your day? 😊",
        "I love the rain, let's stay in and watch a film",
        "You look wonderful in that dress!",
        "привет! как прошёл твой день?",
        "Пойдём гулять к морю? Там сейчас так красиво…",
        "мне нравится твоё платье, ты чудесно выглядишь ❤️",
        "что-то я устал, давай просто поболтаем",
    ],
)
def test_plain_talk_is_left_alone(text: str) -> None:
    assert not needs_reading(text)
