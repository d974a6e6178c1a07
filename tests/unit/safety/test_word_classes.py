"""Classes of English words."""

import pytest

from imagegen.safety import word_classes


@pytest.mark.parametrize("word", ["sofa", "bottles", "marriage", "cheddar"])
def test_a_thing_is_known_in_both_numbers(word: str) -> None:
    assert word_classes.is_thing(word)


@pytest.mark.parametrize("word", ["girl", "model", "babe", "teens", "talking", "sixteen"])
def test_what_may_be_a_person_is_no_thing(word: str) -> None:
    assert not word_classes.is_thing(word)


@pytest.mark.parametrize("word", ["wrote", "scored", "planning", "carries"])
def test_a_verb_is_known_in_all_its_forms(word: str) -> None:
    assert word_classes.is_verb(word)


@pytest.mark.parametrize("word", ["is", "turned", "looks", "becoming"])
def test_a_verb_that_is_said_of_ages_does_not_count(word: str) -> None:
    assert not word_classes.is_verb(word)
