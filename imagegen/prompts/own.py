"""The prompt in somebody's own words: who, in what scene, in what style."""

from imagegen.prompts import sentences
from imagegen.workflows.persona import Persona

# A text without spaces is one word however long it is.
MAX_SCENE_CHARACTERS = 2400
QUIET_SCENE = "a calm everyday moment at home"


def write(persona: Persona, words: str, *, camera: str | None = None) -> str:
    """Write a prompt of at most 380 words for a scene told in somebody's words."""
    told = sentences.one_line(words)[:MAX_SCENE_CHARACTERS].strip() or QUIET_SCENE
    seen = f"The picture is {camera}." if camera else None
    room = sentences.MAX_WORDS - len(sentences.joined(persona, seen).split())
    scene = sentences.ended(" ".join(f"The scene: {told}".split()[:room]))
    return sentences.joined(persona, scene, seen)
