"""Prompts of tags, within the tokens that CLIP reads."""

import pytest

from chatflow_hook.turn import Conversation, Rating
from imagegen.prompts.brief import Brief
from imagegen.prompts.builder import from_template, write_own_prompt
from imagegen.prompts.scene import Scene, write_prompt
from imagegen.safety.rules import ScreenVerdict
from imagegen.safety.screen import shared_screen, worst
from imagegen.workflows.clip_tokens import MAX_TOKENS, most_tokens
from imagegen.workflows.persona import Persona, PromptStyle
from tests.support.llm_answers import SCENE
from tests.support.shipped_workflows import shipped_workflows

LIBRARY = shipped_workflows()
TALKS = ["We sit in a café and it rains.", "Let us dance on the roof tonight!", ""]


def tagged(name: str) -> Persona:
    return LIBRARY.find(name).persona.model_copy(update={"prompt_style": PromptStyle.TAGS})


@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("name", sorted(LIBRARY.workflows))
def test_identity_clothes_and_style_fit_and_the_screen_reads_them(name: str, talk: str) -> None:
    persona = tagged(name)

    text = from_template(Brief(persona=persona, talk=Conversation(text=talk))).text

    assert most_tokens(text) <= MAX_TOKENS
    assert text.startswith(persona.introduction)
    assert text.endswith(persona.style.removesuffix("."))
    assert worst(shared_screen().prompt_findings(text)).verdict is ScreenVerdict.CLEAR


def test_tags_are_phrases_with_the_clothes_first() -> None:
    scene = Scene.model_validate(SCENE)

    text = write_prompt(tagged("lina"), scene)

    assert text == (
        "A picture of l1nazt, Lina, a fictional adult aged 24. a woman with long straight black"
        " hair, brown eyes and a calm, friendly face, a yellow raincoat, under a plane tree on a"
        " village square, laughing at something behind the viewer, A clean editorial portrait on"
        " medium format with soft window light and neutral tones"
    )


def test_an_own_prompt_is_cut_to_the_tokens() -> None:
    text = write_own_prompt(tagged("may"), "a long walk by the river " * 40)

    assert most_tokens(text) <= MAX_TOKENS
    assert "a long walk by the river" in text


def test_sentences_are_the_default() -> None:
    persona = LIBRARY.find("lina").persona

    text = from_template(Brief(persona=persona, rating=Rating.SAFE)).text

    assert persona.prompt_style is PromptStyle.SENTENCES
    assert "Lina wears" in text
