"""The plain prompt: who, in what scene, in what style."""

import unicodedata

from imagegen.prompts.personas import Persona

MAX_WORDS = 380
# A text without spaces is one word however long it is.
MAX_SCENE_CHARACTERS = 2400
QUIET_SCENE = "a calm everyday moment at home"


def write(persona: Persona, words: str) -> str:
    """Write an English prompt of at most 380 words for a scene told in somebody's words."""
    identity, style = _identity(persona), _sentence(persona.style)
    room = MAX_WORDS - len(f"{identity} {style}".split())
    return f"{identity} {_scene(words, room)} {style}"


def _identity(persona: Persona) -> str:
    shown = ", ".join((*persona.trigger_words, persona.display_name))
    return f"A picture of {shown}, a fictional adult aged {persona.age}. {_sentence(persona.appearance)}"


def _scene(words: str, room: int) -> str:
    told = f"The scene: {_one_line(words)[:MAX_SCENE_CHARACTERS].strip() or QUIET_SCENE}"
    return _sentence(" ".join(told.split()[:room]))


def _one_line(words: str) -> str:
    plain = (" " if unicodedata.category(sign) in {"Cc", "Cs"} else sign for sign in words)
    return " ".join("".join(plain).split())


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text.rstrip(' ,;:-')}."
