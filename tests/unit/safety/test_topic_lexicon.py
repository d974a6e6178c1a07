"""The lists of topics."""

import tomllib

import pytest

from imagegen import resources

LISTS = [
    "asking", "bare", "coming_of_age", "endearments", "foreign", "grown", "harm", "minors", "people",
    "sexual", "spared", "subjects",
]  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_a_phrase_stands_once_in_its_topic(name: str) -> None:
    text = resources.path(f"imagegen/safety/lexicon/{name}.toml").read_text("utf-8")
    listed = [
        (topic, phrase)
        for topic, languages in tomllib.loads(text).items()
        for phrases in languages.values()
        for phrase in phrases
    ]

    assert sorted(each for each in {*listed} if listed.count(each) > 1) == []
