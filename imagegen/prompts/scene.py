"""Scene: what a picture shows, whoever worded it; and how it becomes a prompt."""

import enum
import re
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from imagegen.prompts import sentences
from imagegen.workflows.persona import Persona, phrase

Long = Annotated[str, Field(max_length=500), AfterValidator(phrase(60))]
Short = Annotated[str, Field(max_length=320), AfterValidator(phrase(40))]


class Scene(BaseModel):
    """Six phrases in English, each on one line.

    `scene` and `pose` complete "Lina is …", `clothes` "Lina wears …", `camera` "The picture is …",
    `light` "The light is …", `mood` "The mood is …".
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    scene: Long
    pose: Short
    clothes: Short
    light: Short
    mood: Short
    camera: Short


class Source(enum.StrEnum):
    """Whose words a prompt is made of."""

    OWN = "own"
    LLM = "llm"
    TEMPLATE = "template"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """An English prompt of at most 380 words.

    `summary` is one line for people, of the vocabulary's words only. `scene` is what a variation
    of the picture is made from; it holds no word of the talk and may be kept with the request.
    """

    text: str = field(repr=False)
    summary: str
    source: Source
    scene: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def words(self) -> int:
        """How long the text is."""
        return len(self.text.split())


def write(
    persona: Persona, scene: Scene, *, wording: str | None = None, is_alone: bool = False
) -> str:
    """Write the prompt of a scene; `wording` takes the place of the clothes."""
    name = persona.display_name
    clothes = sentences.ended(wording or f"{name} wears {_after(scene.clothes, name, 'wears')}")
    # In the order of the prompt; what is left out first where words are short stands last.
    return sentences.joined(
        persona,
        f"{name} is {_after(scene.scene, name, 'is')}.",
        clothes,
        sentences.alone(persona) if is_alone else None,
        f"{name} is {_after(scene.pose, name, 'is')}.",
        f"The picture is {_after(scene.camera, 'The picture', 'is')}.",
        f"The light is {_after(scene.light, 'The light', 'is')}.",
        f"The mood is {_after(scene.mood, 'The mood', 'is')}.",
    )


def _after(words: str, subject: str, verb: str) -> str:
    """Take off the beginning of words that say it once more."""
    said = rf"(?:{re.escape(subject)}|she|he|they|it) {verb} "
    return re.sub(rf"^{said}", "", words, flags=re.IGNORECASE)
