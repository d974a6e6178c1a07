"""Scene: what a picture shows, how that becomes a prompt, and what is stored of it.

A prompt consists of the same sentences, whether a model, the template or the bot describes the scene:
who is drawn, the scene, and the style.
"""

import enum
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from chatflow_hook.turn import Rating
from imagegen.workflows.clip_tokens import MAX_TOKENS, most_tokens
from imagegen.workflows.persona import Persona, PromptStyle, phrase_validator

MAX_WORDS = 380

_SENTENCE_ENDS = (".", "!", "?", "…")
# By Unicode category, what replaces a character. Control characters (Cc) separate words, format
# characters (Cf) stand invisibly inside of words, and one half of a surrogate pair (Cs) means nothing.
_REPLACEMENTS = {"Cc": " ", "Cs": " ", "Cf": ""}


def identity_sentence(persona: Persona) -> str:
    """Return the sentences of who is drawn: trigger words, name, age and fixed appearance."""
    return f"{persona.introduction} {with_full_stop(persona.appearance)}"


def alone_sentence(persona: Persona) -> str:
    """Return the sentence that nobody else is drawn."""
    return f"{persona.display_name} is the only person in the picture."


def with_full_stop(text: str) -> str:
    """Return a text with a full stop, unless it ends as a sentence already."""
    return text if text.endswith(_SENTENCE_ENDS) else f"{text.rstrip(' ,;:-')}."


def one_line(words: str) -> str:
    """Return a text on one line, without control characters and other invisible characters."""
    visible = (_REPLACEMENTS.get(unicodedata.category(character), character) for character in words)
    return " ".join("".join(visible).split())


def join_sentences(persona: Persona, *sentences: str | None) -> str:
    """Join sentences between identity and style, to at most 380 words.

    The first sentence that does not fit is left out, and all after it. None is skipped.
    """
    start, style = identity_sentence(persona), with_full_stop(persona.style)
    room = MAX_WORDS - len(f"{start} {style}".split())
    fitting = []
    for sentence in filter(None, sentences):
        room -= len(sentence.split())
        if room < 0:
            break
        fitting.append(sentence)
    return " ".join((start, *fitting, style))


def join_tags(persona: Persona, *tags: str | None) -> str:
    """Join tags between identity and style, to at most 75 tokens of CLIP.

    The first tag is cut where it is too long; the first other one that does not fit is left out,
    and all after it. None is skipped.
    """
    name = persona.display_name
    start = f"{persona.introduction} {_as_tag(_without_subject(persona.appearance, name, 'is'))}"
    fitting = [start]
    style = _as_tag(persona.style)
    for tag in filter(None, tags):
        words = _as_tag(tag).split()
        while words and _tokens([*fitting, " ".join(words), style]) > MAX_TOKENS:
            words = words[:-1] if len(fitting) == 1 else []
        if not words:
            break
        fitting.append(_as_tag(" ".join(words)))
    return ", ".join((*fitting, style))


def _tokens(tags: list[str]) -> int:
    return most_tokens(", ".join(tags))


def _as_tag(text: str) -> str:
    return text.rstrip(" .,;:-")


LongPhrase = Annotated[str, Field(max_length=500), AfterValidator(phrase_validator(60))]
ShortPhrase = Annotated[str, Field(max_length=320), AfterValidator(phrase_validator(40))]


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
    """Who described the scene of a prompt: the bot itself, a language model, or the template."""

    OWN = "own"
    LLM = "llm"
    TEMPLATE = "template"


@dataclass(frozen=True, kw_only=True)
class DiscardedScene:
    """A scene, of a model or the bot, that the template's was taken for; `why` is that of a NoScene."""

    text: str = field(repr=False)
    why: str


@dataclass(frozen=True, kw_only=True)
class WrittenPrompt:
    """An English prompt of at most 380 words; `rating` is how explicit it may be.

    `summary` is one line for people, of words of the vocabulary only. `scene` is a StoredScene as
    JSON, from which a variation of the picture is made. It has no word of the conversation, so it
    may be stored with the request.
    """

    text: str = field(repr=False)
    rating: Rating
    summary: str
    source: PromptSource
    scene: dict[str, Any] | None = field(default=None, repr=False)
    discarded: DiscardedScene | None = field(default=None, compare=False)

    @property
    def words(self) -> int:
        """The length of the text in words."""
        return len(self.text.split())


def write_prompt(
    persona: Persona, scene: Scene, *, wording: str | None = None, is_alone: bool = False
) -> str:
    """Write the prompt of a scene.

    `wording` is the persona's own sentence for a rating, which replaces that of the clothes. If
    `is_alone` is set, the prompt says that nobody else is in the picture.
    """
    name = persona.display_name
    if persona.prompt_style is PromptStyle.TAGS:
        return join_tags(
            persona,
            wording or scene.clothes,
            "alone" if is_alone else None,
            scene.scene,
            scene.pose,
            scene.camera,
            scene.light,
            scene.mood,
        )
    clothes = with_full_stop(
        wording or f"{name} wears {_without_subject(scene.clothes, name, 'wears')}"
    )
    # In the order of the prompt. Where the words do not suffice, the last are left out first.
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
    """Return a phrase without a subject and verb at its beginning, which the sentence has itself."""
    beginning = rf"(?:{re.escape(subject)}|she|he|they|it) {verb} "
    return re.sub(rf"^{beginning}", "", words, flags=re.IGNORECASE)


Category = Literal["place", "time", "season", "weather", "clothes", "activity"]
CATEGORIES: tuple[Category, ...] = ("place", "time", "season", "weather", "clothes", "activity")


class SceneSetting(BaseModel):
    """Keys of vocabulary.toml, never words of the conversation; None where it says nothing."""

    # It is stored in rows, and another version of the code may have other categories.
    model_config = ConfigDict(extra="ignore", frozen=True)

    place: str | None = None
    time: str | None = None
    season: str | None = None
    weather: str | None = None
    clothes: str | None = None
    activity: str | None = None

    @property
    def found(self) -> Mapping[Category, str]:
        """The keys that are not None, by category."""
        keys: dict[str, Any] = self.model_dump(exclude_none=True)
        return {category: keys[category] for category in CATEGORIES if category in keys}

    @property
    def sky(self) -> "SceneSetting":
        """Only time, season and weather, which say nothing of any person."""
        return SceneSetting(time=self.time, season=self.season, weather=self.weather)


def _scene_or_none(value: Any) -> Any:
    try:
        return Scene.model_validate(value)
    except ValidationError:
        return None


class StoredScene(BaseModel):
    """What is stored of a picture, as JSON with its request, so that it can be varied.

    `setting` has keys of the vocabulary. `shuffle` goes into the hash by which phrases are picked.
    `scene` has a language model's phrases, None if there was no model. They are valid for `rating`
    only, and their pose, framing and light for this `variation` only.
    """

    # A row may have been written by an older or a newer version of the code.
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    setting: SceneSetting = SceneSetting()
    shuffle: int = Field(default=0, ge=0, lt=2**16)
    rating: Rating = Rating.SAFE
    variation: int = 0
    is_alone: bool = False
    scene: Annotated[Scene | None, BeforeValidator(_scene_or_none)] = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned; an empty one if it cannot be read."""
        try:
            return cls.model_validate(stored)
        except ValidationError:
            return cls()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that is stored."""
        return self.model_dump(mode="json", exclude_none=True)
