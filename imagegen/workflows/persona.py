"""The fields of persona.toml: the persona, and how its graph is used."""

import enum
import re
import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    model_validator,
)

from chatflow_hook.turn import MAX_PERSONA, PersonaName, Rating
from imagegen.workflows.clip_tokens import MAX_TOKENS, most_tokens
from imagegen.workflows.errors import WorkflowFault

# A persona is an adult beyond doubt.
ADULT = 21
# The keys of persona.toml that belong to WorkflowConfig.
WORKFLOW_KEYS = ("workflow", "nodes", "inputs")

# What a scene needs of the tokens that CLIP reads: clothes and a place.
_LEAST_TOKENS_OF_SCENE = 25

# Signs that could be read as markup, a prompt weight or a placeholder; plain phrases need none.
_FORBIDDEN = set("<>{}[]|\\`^~#@=_")
# Stripped from both ends of a phrase.
_ENDS = " ,;:-."
# Digits of a telephone or a bank card; nothing in a picture needs them.
_LONG_NUMBER = re.compile(r"\d[\d -]{4,}\d|\d{5}")


def phrase_validator(most_words: int) -> Callable[[str], str]:
    """Return a check of a phrase: one line of plain English with at most `most_words` words.

    The check returns the phrase with single spaces, and raises ValueError if it is none. It is
    used for phrases of persona.toml and for those that a language model writes.
    """

    def check(text: str) -> str:
        if any(_is_line_break(sign) or _is_control(sign) for sign in text):
            raise ValueError("must be one line without control characters")
        words = text.strip(_ENDS).split()
        if not words:
            raise ValueError("must not be empty")
        if len(words) > most_words:
            raise ValueError(f"must have at most {most_words} words, has {len(words)}")
        if _LONG_NUMBER.search(text):
            raise ValueError("must have no long number")
        if _FORBIDDEN & set(text) or any(map(_is_not_latin, text)):
            raise ValueError("must be plain English")
        return " ".join(words)

    return check


def _is_line_break(sign: str) -> bool:
    return unicodedata.category(sign) in {"Zl", "Zp"}


def _is_control(sign: str) -> bool:
    return unicodedata.category(sign).startswith("C")


def _is_not_latin(sign: str) -> bool:
    return sign.isalpha() and not unicodedata.name(sign, "").startswith("LATIN ")


def _line(most_words: int) -> Callable[[str], str]:
    """Return a check of a text of any language with at most `most_words` words."""

    def check(text: str) -> str:
        words = text.split()
        if not words:
            raise ValueError("must not be empty")
        if len(words) > most_words:
            raise ValueError(f"must have at most {most_words} words, has {len(words)}")
        if any(unicodedata.category(sign) == "Cc" for word in words for sign in word):
            raise ValueError("must not contain control characters")
        return " ".join(words)

    return check


# With these limits a prompt of 380 words has at least a hundred left for the scene.
Name = Annotated[str, Field(max_length=60), AfterValidator(_line(5))]
Trigger = Annotated[str, Field(max_length=60), AfterValidator(_line(5))]
Appearance = Annotated[str, Field(max_length=1200), AfterValidator(_line(120))]
Style = Annotated[str, Field(max_length=600), AfterValidator(_line(60))]
Phrase = Annotated[str, Field(max_length=160), AfterValidator(phrase_validator(20))]
Phrases = Annotated[tuple[Phrase, ...], Strict(strict=False), Field(max_length=8)]
Alias = Annotated[PersonaName, Field(min_length=1, max_length=MAX_PERSONA)]
# With markup, so any sign; 200 characters leave room for a line of the operator's.
Caption = Annotated[str, Field(max_length=200), AfterValidator(_line(30))]
CaptionList = Annotated[tuple[Caption, ...], Strict(strict=False), Field(max_length=20)]
Wording = Annotated[str, Field(max_length=600), AfterValidator(_line(60))]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Habits(_Strict):
    """What is drawn where the conversation says nothing; each list may be left out.

    Places (`indoors`, `outdoors`) complete the sentence "Lina is …", clothes "Lina wears …",
    cameras "The picture is …". Evening clothes are for ratings above safe. `never_wears` names
    clothes of vocabulary.toml.
    """

    indoors: Phrases = ()
    outdoors: Phrases = ()
    clothes: Phrases = ()
    evening_clothes: Phrases = ()
    moods: Phrases = ()
    cameras: Phrases = ()
    never_wears: Phrases = ()


class Wordings(_Strict):
    """An operator's own sentences by rating, in place of clothes from the conversation."""

    safe: Wording | None = None
    suggestive: Wording | None = None
    explicit: Wording | None = None


class Captions(_Strict):
    """What the persona says with a picture, by language; each list may be left out.

    `parse_mode` is the markup of all of them, None for plain text.
    """

    ru: CaptionList = ()
    en: CaptionList = ()
    parse_mode: Literal["HTML", "MarkdownV2"] | None = None

    def of_language(self, language: str) -> tuple[str, ...]:
        """Return those of a language code such as `ru-RU`; the English ones for an unknown one."""
        return self.ru if language.lower().startswith("ru") else self.en


class PromptStyle(enum.StrEnum):
    """How prompts are worded: whole sentences, or tags within the tokens that CLIP reads."""

    SENTENCES = "sentences"
    TAGS = "tags"


class Persona(_Strict):
    """A fictional adult with a fixed appearance; the age is at least 21.

    `aliases` are other names under which bots may ask for the persona, in lower case.
    `images_per_request` is how many pictures of the same moment are drawn at once. `keep_warm`:
    idle hosts load its models before it is needed.
    """

    name: Name
    aliases: Annotated[tuple[Alias, ...], Strict(strict=False), Field(max_length=8)] = ()
    display_name: Name
    age: int = Field(ge=ADULT, le=120)
    appearance: Appearance
    style: Style
    trigger_words: Annotated[tuple[Trigger, ...], Strict(strict=False), Field(max_length=8)] = ()
    max_rating: Annotated[Rating, Strict(strict=False)] = Rating.SUGGESTIVE
    keep_warm: bool = False
    habits: Habits = Habits()
    wording: Wordings = Wordings()
    captions: Captions = Captions()
    images_per_request: int = Field(default=1, ge=1, le=10)
    prompt_style: Annotated[PromptStyle, Strict(strict=False)] = PromptStyle.SENTENCES

    @property
    def introduction(self) -> str:
        """The sentence with which each prompt begins: trigger words, name and age.

        The screen relies on this form: see `_IDENTITY` of imagegen/safety/screen.py.
        """
        names = ", ".join((*self.trigger_words, self.display_name))
        return f"A picture of {names}, a fictional adult aged {self.age}."

    @model_validator(mode="after")
    def _leaves_room_in_tags(self) -> Self:
        if self.prompt_style is PromptStyle.TAGS:
            fixed = most_tokens(f"{self.introduction} {self.appearance}, {self.style}")
            if fixed > MAX_TOKENS - _LEAST_TOKENS_OF_SCENE:
                raise ValueError(
                    f"with prompt_style tags, appearance and style may take"
                    f" {MAX_TOKENS - _LEAST_TOKENS_OF_SCENE} tokens with name and age, and take"
                    f" up to {fixed}; shorten them"
                )
        return self

    def wording_rating(self, rating: Rating) -> Rating:
        """Return the rating of the wording that is used for a rating.

        That is the rating itself, but suggestive for explicit if the operator gives no explicit
        wording: the program has none of its own.
        """
        if rating is Rating.EXPLICIT and self.wording.explicit is None:
            return Rating.SUGGESTIVE
        return rating

    def wording_for(self, rating: Rating) -> str | None:
        """Return the operator's own sentences for a rating, None if there are none."""
        match self.wording_rating(rating):
            case Rating.SAFE:
                return self.wording.safe
            case Rating.SUGGESTIVE:
                return self.wording.suggestive
            case Rating.EXPLICIT:
                return self.wording.explicit


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


class InputReference(_Strict):
    """One input of one node; the node is given by id or title."""

    node: str
    input: str


# A node by id or title, or one input of it.
Place = str | InputReference
Places = Annotated[tuple[Place, ...], Strict(strict=False), BeforeValidator(_as_list)]
NodeNames = Annotated[tuple[str, ...], Strict(strict=False), BeforeValidator(_as_list)]


class NodeRoles(_Strict):
    """Which node is which, for graphs whose links do not show it; empty: found by the links.

    `keep` are texts that stay in every picture beside the prompt.
    """

    save: str | None = None
    sampler: str | None = None
    size: NodeNames = ()
    text: Places = ()
    seed: Places = ()
    keep: Places = ()


class WorkflowConfig(_Strict):
    """The graph file, which node of it is which, and the inputs that persona.toml overrides.

    `inputs` are values by node id or title and by input name.
    """

    workflow: str = Field(default="workflow.json", min_length=1)
    nodes: NodeRoles = NodeRoles()
    inputs: dict[str, dict[str, str | int | float | bool | list[str | int]]] = {}


def read_persona(file: Path) -> tuple[Persona, WorkflowConfig]:
    """Read a persona.toml; the persona has the name of its folder, in lower case.

    Raises:
        WorkflowFault: the file cannot be read, or a key in it is unknown, missing or wrong.
    """
    raw = _parsed(file)
    config = {key: raw.pop(key) for key in WORKFLOW_KEYS if key in raw}
    if "name" in raw:
        raise WorkflowFault(file, "name: the folder's name is the persona's name; remove this key")
    try:
        persona = Persona.model_validate({**raw, "name": file.parent.name.casefold()})
        return persona, WorkflowConfig.model_validate(config)
    except ValidationError as error:
        raise WorkflowFault(file, _explained(error)) from error


def _parsed(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise WorkflowFault(file, "is missing") from error
    except OSError as error:
        raise WorkflowFault(file, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise WorkflowFault(file, f"is not TOML: {error}") from error


def _explained(error: ValidationError) -> str:
    return "; ".join(
        _explained_detail(detail["loc"], detail["type"], detail["msg"], detail["input"])
        for detail in error.errors()
    )


def _explained_detail(loc: tuple[int | str, ...], kind: str, message: str, value: Any) -> str:
    key = ".".join(map(str, loc)) or "persona"
    match kind:
        case "extra_forbidden":
            return f"{key}: there is no such key"
        case "missing":
            return f"{key}: is missing"
        case _:
            return f"{key}: {message.removeprefix('Value error, ')}, got {str(value)[:60]!r}"
