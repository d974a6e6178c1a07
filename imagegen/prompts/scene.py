"""Scene: what a picture shows besides the persona, and the prompt that is written of it."""

import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from chatflow_hook.turn import Rating
from imagegen.prompts.personas import Persona

MAX_WORDS = 380
# A text without spaces is one word however long it is.
MAX_OWN_CHARACTERS = 2400
QUIET_SCENE = "a calm everyday moment at home"

_MOST_WORDS = 40


def _line(text: str) -> str:
    words = _one_line(text).rstrip(" .,;:").split()
    if not words:
        raise ValueError("must not be empty")
    if len(words) > _MOST_WORDS:
        raise ValueError(f"must have at most {_MOST_WORDS} words")
    return " ".join(words)


_Phrase = Annotated[str, Field(max_length=400), AfterValidator(_line)]


class Scene(BaseModel):
    """What is around the persona, each a phrase that goes on with its sentence.

    `pose` and `scene` follow "Lina is", `clothes` follows "Lina wears", `light` and `mood` follow
    "The light is" and "The mood is", `camera` follows "The picture is".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    pose: _Phrase
    scene: _Phrase
    clothes: _Phrase
    light: _Phrase
    mood: _Phrase
    camera: _Phrase


Source = Literal["own", "llm", "template"]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """An English prompt of at most 380 words, and one line for people.

    `scene` may be kept after the request has ended: it is None where it would quote the chat.
    """

    text: str
    summary: str
    source: Source
    scene: dict[str, Any] | None


def written(persona: Persona, scene: Scene, *, rating: Rating, source: Source) -> Prompt:
    """Write the prompt of a scene: identity → scene → composition → light → style."""
    name, first, style = persona.display_name, identity(persona), _sentence(persona.style)
    wording = persona.wording_for(rating)
    middle = [
        f"{name} is {scene.pose}, {scene.scene}.",
        f"{name} wears {scene.clothes}.",
        f"The picture is {scene.camera}.",
        f"The light is {scene.light}.",
        f"The mood is {scene.mood}.",
        *([wording] if wording else []),
    ]
    return Prompt(
        text=_fitted(first, " ".join(middle), style),
        summary=f"{name}, {scene.pose}, {scene.scene}",
        source=source,
        scene=scene.model_dump(),
    )


def of_own_words(persona: Persona, words: str) -> Prompt:
    """Write the prompt of a bot that says itself what is drawn: identity, its words, style."""
    told = f"The scene: {_one_line(words)[:MAX_OWN_CHARACTERS].strip() or QUIET_SCENE}"
    return Prompt(
        text=_fitted(identity(persona), told, _sentence(persona.style)),
        summary=f"{persona.display_name}, as the bot asked",
        source="own",
        scene=None,
    )


def identity(persona: Persona) -> str:
    """Write who is drawn: trigger words, name, adult age, look."""
    shown = ", ".join((*persona.trigger_words, persona.display_name))
    who = f"A picture of {shown}, a fictional adult aged {persona.age}."
    return f"{who} {_sentence(persona.appearance)}"


def _fitted(first: str, middle: str, style: str) -> str:
    # Who is drawn and in what style is never cut.
    room = MAX_WORDS - len(f"{first} {style}".split())
    return f"{first} {_sentence(' '.join(middle.split()[:room]))} {style}"


def _one_line(words: str) -> str:
    plain = (" " if unicodedata.category(sign) in {"Cc", "Cs"} else sign for sign in words)
    return " ".join("".join(plain).split())


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text.rstrip(' ,;:-')}."
