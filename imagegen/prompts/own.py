"""The prompt in somebody's own words: who, in what scene, in what style."""

from imagegen.prompts import sentences
from imagegen.prompts.personas import Persona

# A text without spaces is one word however long it is.
MAX_SCENE_CHARACTERS = 2400
QUIET_SCENE = "a calm everyday moment at home"


def write(
    persona: Persona, words: str, *, camera: str | None = None, is_alone: bool = False
) -> str:
    """Write a prompt of at most 380 words for a scene told in somebody's words."""
    told = sentences.one_line(words)[:MAX_SCENE_CHARACTERS].strip() or QUIET_SCENE
    after = [
        *([f"The picture is {camera}."] if camera else []),
        *([sentences.alone(persona)] if is_alone else []),
    ]
    fixed = sentences.joined(persona, *after)
    room = sentences.MAX_WORDS - len(fixed.split())
    scene = sentences.ended(" ".join(f"The scene: {told}".split()[:room]))
    return sentences.joined(persona, scene, *after)
