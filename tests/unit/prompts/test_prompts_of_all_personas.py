"""All personas in the same conversations: what must be in a prompt, what must not, and the docs."""

import re
from itertools import combinations

import pytest

from imagegen.prompts.scene import WrittenPrompt
from tests.support import prompts_table
from tests.support.prompts_table import DIALOGS, PERSONAS

PROMPTS = {
    (dialog, persona): prompt
    for dialog in DIALOGS
    for persona, prompt in prompts_table.prompts(DIALOGS[dialog]).items()
}
# Each is in the prompt in one of these ways.
SCENES = {
    "autumn_walk": ["park", "rain", "autumn", "walking", "umbrella"],
    "rainy_cafe": ["café", "rain", "evening", "book|paperback", "sweater"],
    "roof_at_night": ["roof", "night", "dancing|swaying", "tasteful"],
}
# What was said and must not be drawn: raw words, what is over, what is denied.
NEVER = {
    "autumn_walk": ["zigzag", "hour for me", "office", "desk", "everywhere"],
    "rainy_cafe": ["бубенчик", "покажись", "книгу", "beach", "sunny", "morning", "sand"],
    "roof_at_night": ["flibbertigibbet", "stunning", "soup", "kitchen", "wooden spoon"],
}

every_prompt = pytest.mark.parametrize(
    ("dialog", "persona", "prompt"),
    [(dialog, persona, prompt) for (dialog, persona), prompt in PROMPTS.items()],
    ids=[f"{persona} {dialog}" for dialog, persona in PROMPTS],
)


def test_there_are_eight_personas_and_three_conversations() -> None:
    assert (len(PERSONAS), len(DIALOGS), len(PROMPTS)) == (8, 3, 24)


@every_prompt
def test_a_prompt_says_who_is_drawn(dialog: str, persona: str, prompt: WrittenPrompt) -> None:
    who = PERSONAS[persona]

    assert f", {who.display_name}, a fictional adult aged {who.age}." in prompt.text
    assert who.appearance in prompt.text
    assert who.style in prompt.text
    assert all(trigger in prompt.text for trigger in who.trigger_words), dialog


@every_prompt
def test_a_prompt_says_what_is_around(dialog: str, persona: str, prompt: WrittenPrompt) -> None:
    missing = [word for word in SCENES[dialog] if not re.search(word, prompt.text)]

    assert missing == [], persona


@every_prompt
def test_a_prompt_says_nothing_that_was_only_said(
    dialog: str, persona: str, prompt: WrittenPrompt
) -> None:
    told = f"{prompt.text} {prompt.summary} {prompt.scene}".casefold()

    assert [word for word in NEVER[dialog] if word in told] == [], persona


@every_prompt
def test_a_prompt_names_no_other_persona(dialog: str, persona: str, prompt: WrittenPrompt) -> None:
    # A trigger word such as "woman" may belong to several.
    others = {
        word
        for name, other in PERSONAS.items()
        if name != persona
        for trigger in (*other.trigger_words, other.display_name)
        for word in trigger.split()
        if word != "woman"
    }

    assert others.isdisjoint(re.findall(r"\w+", prompt.text)), dialog


@every_prompt
def test_a_prompt_is_english_and_of_a_good_length(
    dialog: str, persona: str, prompt: WrittenPrompt
) -> None:
    assert 80 <= prompt.words <= 250, (dialog, persona)
    assert not re.search("[а-яё]", prompt.text, re.IGNORECASE)


@pytest.mark.parametrize("dialog", DIALOGS)
def test_the_personas_differ_visibly(dialog: str) -> None:
    """Apart from appearance and style, of which each has its own anyway."""
    phrases = {persona: set(_middle(persona, PROMPTS[dialog, persona])) for persona in PERSONAS}

    assert all(len(one ^ other) >= 4 for one, other in combinations(phrases.values(), 2))


def test_the_page_shows_these_prompts() -> None:
    page = prompts_table.PAGE.read_text(encoding="utf-8")

    # Else: python -m tests.support.prompts_table
    assert prompts_table.page_section(page) == prompts_table.render_section()


def _middle(persona: str, prompt: WrittenPrompt) -> list[str]:
    who = PERSONAS[persona]
    middle = prompt.text.partition(who.appearance)[2].removesuffix(who.style)
    return [one.replace(who.display_name, "X").strip() for one in middle.split(". ")]
