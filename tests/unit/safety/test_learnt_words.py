"""Sentences that no single rule knows, and whose words together mean a minor."""

import pytest

from imagegen.safety.rules import Finding
from imagegen.safety.screen import ScreenVerdict, shared_screen
from tests.unit.safety.learn_words import said_by_personas

MINOR = Finding(verdict=ScreenVerdict.SAFE_ONLY, rule="minor_mentioned")
SENTENCES = [
    "my mom does not know I have this account",
    "родители думают, что я в кружке",
    "мама проверит, сделал ли я уроки",
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_words_that_mean_a_minor_together_keep_a_picture_tame(sentence: str) -> None:
    findings = shared_screen().findings(sentence)

    assert MINOR.verdict in {found.verdict for found in findings if found.rule == MINOR.rule}
    assert all(found.verdict < ScreenVerdict.REFUSED for found in findings)


def test_nobody_is_remembered_as_a_minor_by_weighed_words() -> None:
    findings = shared_screen().findings(SENTENCES[0])

    assert findings == [MINOR]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_weighed_words_do_not_count_in_a_prompt(sentence: str) -> None:
    assert MINOR not in shared_screen().prompt_findings(sentence)


@pytest.mark.parametrize(
    "sentence",
    ["mom calls every evening", "мама звонит каждый вечер", "dad fixed the fence at the cottage"],
)
def test_talk_of_parents_alone_is_clear(sentence: str) -> None:
    assert shared_screen().findings(sentence) == []


def test_what_shipped_personas_say_keeps_no_picture_tame() -> None:
    said = [*said_by_personas()]

    assert said
    assert [text for text in said if shared_screen().findings(text)] == []


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_persona_may_say_what_only_weighs(sentence: str) -> None:
    assert shared_screen().caption(sentence).verdict is ScreenVerdict.CLEAR
