"""Scene: what a picture shows, whoever worded it; how it becomes a prompt, and what is kept of it."""

import enum
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from chatflow_hook.turn import Rating
from imagegen.workflows.persona import Persona, phrase

MAX_WORDS = 380

_ENDS = (".", "!", "?", "…")
# What stands instead of a sign of a category: control characters part words, format signs hide in
# them, and half a surrogate pair is nothing at all.
_INSTEAD = {"Cc": " ", "Cs": " ", "Cf": ""}


def identity_sentence(persona: Persona) -> str:
    """Say who is drawn: trigger words, name, the adult's age, the fixed appearance."""
    shown = ", ".join((*persona.trigger_words, persona.display_name))
    return (
        f"A picture of {shown}, a fictional adult aged {persona.age}. {ended(persona.appearance)}"
    )


def alone_sentence(persona: Persona) -> str:
    """Say that nobody else is drawn."""
    return f"{persona.display_name} is the only person in the picture."


def ended(text: str) -> str:
    """End a text as a sentence ends."""
    return text if text.endswith(_ENDS) else f"{text.rstrip(' ,;:-')}."


def one_line(words: str) -> str:
    """Put words on one line, without control characters and other signs that nobody sees."""
    plain = (_INSTEAD.get(unicodedata.category(sign), sign) for sign in words)
    return " ".join("".join(plain).split())


def join_sentences(persona: Persona, *sentences: str | None) -> str:
    """Put sentences between identity and style; the last are left out where there is no room."""
    start, style = identity_sentence(persona), ended(persona.style)
    room = MAX_WORDS - len(f"{start} {style}".split())
    told = []
    for sentence in filter(None, sentences):
        room -= len(sentence.split())
        if room < 0:
            break
        told.append(sentence)
    return " ".join((start, *told, style))


LongPhrase = Annotated[str, Field(max_length=500), AfterValidator(phrase(60))]
ShortPhrase = Annotated[str, Field(max_length=320), AfterValidator(phrase(40))]


class Scene(BaseModel):
    """Six phrases in English, each on one line.

    `scene` and `pose` complete "Lina is …", `clothes` "Lina wears …", `camera` "The picture is …",
    `light` "The light is …", `mood` "The mood is …".
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    scene: LongPhrase
    pose: ShortPhrase
    clothes: ShortPhrase
    light: ShortPhrase
    mood: ShortPhrase
    camera: ShortPhrase


class PromptSource(enum.StrEnum):
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
    source: PromptSource
    scene: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def words(self) -> int:
        """How long the text is."""
        return len(self.text.split())


def write_prompt(
    persona: Persona, scene: Scene, *, wording: str | None = None, is_alone: bool = False
) -> str:
    """Write the prompt of a scene; `wording` takes the place of the clothes."""
    name = persona.display_name
    clothes = ended(wording or f"{name} wears {_without_subject(scene.clothes, name, 'wears')}")
    # In the order of the prompt; what is left out first where words are short stands last.
    return join_sentences(
        persona,
        f"{name} is {_without_subject(scene.scene, name, 'is')}.",
        clothes,
        alone_sentence(persona) if is_alone else None,
        f"{name} is {_without_subject(scene.pose, name, 'is')}.",
        f"The picture is {_without_subject(scene.camera, 'The picture', 'is')}.",
        f"The light is {_without_subject(scene.light, 'The light', 'is')}.",
        f"The mood is {_without_subject(scene.mood, 'The mood', 'is')}.",
    )


def _without_subject(words: str, subject: str, verb: str) -> str:
    """Take off the beginning of words that say it once more."""
    said = rf"(?:{re.escape(subject)}|she|he|they|it) {verb} "
    return re.sub(rf"^{said}", "", words, flags=re.IGNORECASE)


Category = Literal["place", "time", "season", "weather", "clothes", "activity"]
CATEGORIES: tuple[Category, ...] = ("place", "time", "season", "weather", "clothes", "activity")


class SceneSetting(BaseModel):
    """Keys of vocabulary.toml, never words of the talk; None where the talk says nothing."""

    # It is kept in rows, and a later version may know other categories.
    model_config = ConfigDict(extra="ignore", frozen=True)

    place: str | None = None
    time: str | None = None
    season: str | None = None
    weather: str | None = None
    clothes: str | None = None
    activity: str | None = None

    @property
    def found(self) -> Mapping[Category, str]:
        """What the talk does say."""
        said: dict[str, Any] = self.model_dump(exclude_none=True)
        return {category: said[category] for category in CATEGORIES if category in said}

    @property
    def sky(self) -> "SceneSetting":
        """Only what concerns everybody alike: time, season and weather."""
        return SceneSetting(time=self.time, season=self.season, weather=self.weather)


def _scene_or_none(value: Any) -> Any:
    try:
        return Scene.model_validate(value)
    except ValidationError:
        return None


class SceneSketch(BaseModel):
    """Kept as JSON with the request: keys of the vocabulary, and a model's own phrases.

    `shuffle` is where the picking of phrases begins. `scene` was worded for `rating` and for no
    other, and its pose, framing and light for this `variation`.
    """

    # A row may be older or newer than the code.
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    setting: SceneSetting = SceneSetting()
    shuffle: int = Field(default=0, ge=0, lt=2**16)
    rating: Rating = Rating.SAFE
    variation: int = 0
    is_alone: bool = False
    scene: Annotated[Scene | None, BeforeValidator(_scene_or_none)] = None

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Self:
        """Read what was kept; what cannot be read is left out."""
        try:
            return cls.model_validate(kept)
        except ValidationError:
            return cls()

    def stored(self) -> dict[str, Any]:
        """Give what is to be kept."""
        return self.model_dump(mode="json", exclude_none=True)
