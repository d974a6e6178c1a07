"""The prompt of a scene that the bot describes itself."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.prompts.builder import write_own_prompt
from imagegen.workflows.persona import Persona

LINA = Persona(
    name="lina",
    display_name="Lina",
    age=24,
    appearance="A woman of 24 with black hair",
    style="A soft photograph.",
    trigger_words=("l1na",),
)
# As long as persona.toml allows.
LONGEST = Persona(
    name="x",
    display_name="a b c d e",
    age=99,
    appearance="x " * 120,
    style="y " * 60,
    trigger_words=("p q r s t",) * 8,
)


def test_a_prompt_tells_who_in_what_scene_in_what_style() -> None:
    prompt = write_own_prompt(LINA, "we walk in the rain")

    assert prompt == (
        "A picture of l1na, Lina, a fictional adult aged 24."
        " A woman of 24 with black hair."
        " The scene: we walk in the rain."
        " A soft photograph."
    )


@pytest.mark.parametrize("words", ["", "  \n\t ", "\x00"])
def test_no_words_are_a_quiet_scene(words: str) -> None:
    prompt = write_own_prompt(LINA, words)

    assert "The scene: a calm everyday moment at home. A soft" in prompt


def test_lines_and_control_characters_collapse() -> None:
    prompt = write_own_prompt(LINA, "  look\r\n\u2028at\x1b[0m\tthis\ud800!  ")

    assert "The scene: look at [0m this ! A soft" in prompt


@pytest.mark.parametrize("end", [".", "!", "?", "…"])
def test_a_sentence_that_ends_is_not_ended_twice(end: str) -> None:
    prompt = write_own_prompt(LINA, f"come here{end}")

    assert f"come here{end} A soft photograph." in prompt


@pytest.mark.parametrize("persona", [LINA, LONGEST])
def test_a_long_scene_is_cut_and_the_persona_is_not(persona: Persona) -> None:
    prompt = write_own_prompt(persona, "rain " * 20_000)

    assert len(prompt.split()) == 380
    assert persona.appearance in prompt
    assert prompt.endswith(persona.style + "." * (not persona.style.endswith(".")))


def test_a_word_without_end_is_cut() -> None:
    prompt = write_own_prompt(LINA, "雨" * 100_000)

    assert len(prompt) < 2_700
    assert prompt.endswith("A soft photograph.")


@given(words=st.text(max_size=3000))
def test_any_words_give_one_clean_line_within_bounds(words: str) -> None:
    prompt = write_own_prompt(LINA, words)

    assert prompt == write_own_prompt(LINA, words)
    assert len(prompt.split()) <= 380
    assert not {unicodedata.category(sign) for sign in prompt} & {"Cc", "Cs", "Zl", "Zp"}
    assert prompt.startswith("A picture of l1na, Lina, a fictional adult aged 24. A woman of 24")
