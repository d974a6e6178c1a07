"""Turn and Message: what the bot hands to the hook, and what is kept of it."""

import enum
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

# Characters. Telegram's own limit of a message is 4,096; a bot may join a few messages.
MAX_TEXT = 16_384

# Characters; the longest name that a persona's folder may have.
MAX_PERSONA = 64

# How a bot may know a dialog.
DialogKey = int | str | UUID

# Every number of so many digits fits into a bigint.
_MAX_DIGITS = 18

# How many of the newest messages a picture is made from; no more are kept.
MAX_MESSAGES = 8


def count_of_one_role(count: int) -> int:
    """Return how many user messages there are in a count of both roles, at least 1."""
    # Rounded down: a dialog that begins with the persona's greeting has an odd count after a turn.
    return max(1, count // 2)


def storable(value: Any) -> Any:
    """Return a text without what PostgreSQL cannot store of it; any other value as it is."""
    # PostgreSQL stores no NUL character. Neither it nor pydantic takes one half of a surrogate
    # pair, which is left of an emoji where a text was cut in UTF-16 units.
    if not isinstance(value, str):
        return value
    return value.replace("\0", "").encode(errors="ignore").decode()


def _text(value: Any) -> Any:
    return "" if value is None else storable(value)


Words = Annotated[str, BeforeValidator(storable)]

# These take None too, since a bot's columns and Telegram's fields may hold it: no text, no flag.
_Text = Annotated[str, BeforeValidator(_text)]
_Flag = Annotated[bool, BeforeValidator(lambda value: False if value is None else value)]

PersonaName = Annotated[_Text, StringConstraints(strip_whitespace=True, to_lower=True)]


class Rating(enum.StrEnum):
    """How explicit a picture may be, from least to most; a string too."""

    SAFE = "safe"
    SUGGESTIVE = "suggestive"
    EXPLICIT = "explicit"


def _known_rating(value: Any) -> Any:
    return value if value in set(Rating) else Rating.SAFE


_PERSONA_ROLES = frozenset({"persona", "assistant", "model", "bot", "ai", "char"})
# In a language model's history: written by neither of the two, so they count as empty.
_UNSPOKEN_ROLES = frozenset({"system", "developer", "tool", "function"})


# Validation in this context refuses roles that nobody knows: for what a newer hook has stored, and
# for files that people write.
KNOWN_ROLES_ONLY = {"known_roles_only": True}


def _known_role(value: Any, info: ValidationInfo) -> Any:
    role = "" if value is None else value
    if not isinstance(role, str) or role in ("user", "persona"):
        return role
    if role.strip().lower() in _PERSONA_ROLES:
        return "persona"
    # The content screen reads the user's words most strictly.
    return role if (info.context or {}).get("known_roles_only") else "user"


class Message(BaseModel):
    """One earlier message of the conversation, by the user or by the persona.

    The roles of language models are known: `assistant` is the persona, and a `system` or `tool`
    message is empty. Every role that is not known is the user. A `text` of None is empty. Fields
    that it does not have are ignored.

    Raises:
        ValidationError: pydantic's, a ValueError: a field is missing or of the wrong type.
    """

    # A stored message may come from a newer hook, with more fields. No error may quote what
    # people wrote.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    role: Annotated[Literal["user", "persona"], BeforeValidator(_known_role)]
    text: _Text

    if TYPE_CHECKING:
        # What is taken, where that is more than what is kept.
        def __init__(self, *, role: str | None, text: str | None) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _of_language_model(cls, value: Any) -> Any:
        """Take a message as language models have it, with `content` in place of `text`."""
        if not isinstance(value, Mapping):
            return value
        if value.get("role") in _UNSPOKEN_ROLES:
            return {"role": "user", "text": ""}
        if "text" not in value and "content" in value:
            return {**value, "text": _joined(value["content"])}
        return value


def _joined(content: Any) -> Any:
    """Return the text of a message's content, which may be a list of texts and pictures."""
    if not isinstance(content, list):
        return content
    parts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "\n".join(part for part in parts if isinstance(part, str))


def _without_gaps(history: Any) -> Any:
    if isinstance(history, list | tuple):
        return [message for message in history if message is not None]
    return () if history is None else history


def dialog_number(key: DialogKey) -> int:
    """Return the number of a dialog whose key may be a number, its digits, a UUID or another text.

    The number of a UUID, or of a text without digits alone, is a hash of 63 bits: the same in every
    process and version.
    """
    if isinstance(key, int):
        return key
    if isinstance(key, str) and _is_number(key):
        return int(key)
    digest = hashlib.sha256(str(key).encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _dialog_number(value: Any) -> Any:
    return dialog_number(value) if isinstance(value, str | UUID) and str(value).strip() else value


def _is_number(key: str) -> bool:
    digits = key.strip().removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS


class Conversation(BaseModel):
    """What people wrote; kept with a request until that ends, then erased. See `Turn`."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    text: Words
    reply: Words | None = None
    history: tuple[Message, ...] = ()
    prompt: Words | None = None

    @property
    def messages(self) -> list[Message]:
        """The newest 8 messages, newest first, without empty ones.

        The persona's reply comes first, since it mostly describes the scene.
        """
        messages = (
            Message(role="persona", text=self.reply or ""),
            Message(role="user", text=self.text),
            *reversed(self.history),
        )
        return [message for message in messages if message.text.strip()][:MAX_MESSAGES]


@dataclass(frozen=True, kw_only=True)
class EndReason:
    """Why a request ended without a picture: a stable code, and a sentence for the chat's user."""

    code: str
    sentence: str


class Turn(BaseModel):
    """One user message, and what a picture for it needs to know.

    Where it belongs: `dialog_id` is the conversation, in the bot's own `dialogs` table its id.
    `user_id` and `chat_id` are Telegram's; with `chat_id` None nothing is sent, and the caller
    fetches the picture with `wait`. Above safe a picture goes only to the private chat of its user,
    whose id is that of the user; `chat_type` is kept and decides nothing.
    `message_thread_id` is the topic in a forum.

    What was said: `text` by the user, `reply` by the persona, `history` before that, oldest
    first. The newest 8 messages are kept, `text` and `reply` among them, and none that is empty.
    `prompt` is the bot's own description of the picture, used in place of what was said. A `text`
    or `prompt` of more than 16,384 characters is a fault; `reply` and each message of `history`
    are cut to that length.

    How it counts: `message_count` is the dialog's number of user messages including this one,
    from 1; None lets the hook count. `counts_both_roles` says that the persona's messages are in
    `message_count` too, so that it rises by two a turn. `reply_to_message_id` is the user's message, which the
    photo answers and by which an update that Telegram delivers twice is known; None makes each
    call a new message. `is_refresh` marks a reply that is written anew: it is not counted.

    What is drawn: `persona` is the name of a persona's folder, in any case. `rating` is what the
    bot allows at most; an unknown one is safe. `language` is the user's language code. `story`
    names the story that is told, for SEED_MODE=story. `caption` and `has_spoiler` go with the
    photo.

    What people wrote, or what a table holds, is never refused here: a turn that cannot be drawn has
    a `fault`, and its request fails under that code. NUL characters and halves of emojis are removed.
    None is an empty `persona` or `text` (a voice message), an empty `history`, and a flag that is
    not set. `dialog_id` may be a UUID or a text too, if the table `dialogs` is ours: the field then
    holds its `dialog_number`.

    Raises:
        ValidationError: pydantic's, a ValueError: a field is missing, unknown or of the wrong
            type. It quotes nothing that people wrote.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    dialog_id: Annotated[int, BeforeValidator(_dialog_number)]
    user_id: int
    chat_id: int | None
    persona: PersonaName
    text: _Text
    reply: Words | None = None
    history: Annotated[tuple[Message, ...], BeforeValidator(_without_gaps)] = ()
    chat_type: Words | None = None
    message_count: int | None = None
    counts_both_roles: _Flag = False
    is_refresh: _Flag = False
    language: Words | None = None
    rating: Annotated[Rating, BeforeValidator(_known_rating)] = Rating.SAFE
    story: Words | None = None
    prompt: Words | None = None
    caption: Words | None = None
    has_spoiler: _Flag = False
    reply_to_message_id: int | None = None
    message_thread_id: int | None = None

    if TYPE_CHECKING:
        # What is taken, where that is more than what is kept.
        def __init__(  # noqa: PLR0913 (the fields, by their names)
            self,
            *,
            dialog_id: DialogKey,
            user_id: int,
            chat_id: int | None,
            persona: str | None,
            text: str | None,
            reply: str | None = None,
            history: Sequence[Message | Mapping[str, Any]] | None = (),
            chat_type: str | None = None,
            message_count: int | None = None,
            counts_both_roles: bool | None = False,
            is_refresh: bool | None = False,
            language: str | None = None,
            rating: Rating | str | None = Rating.SAFE,
            story: str | None = None,
            prompt: str | None = None,
            caption: str | None = None,
            has_spoiler: bool | None = False,
            reply_to_message_id: int | None = None,
            message_thread_id: int | None = None,
        ) -> None: ...

    @property
    def user_message_count(self) -> int | None:
        """The dialog's number of user messages including this one; None if the bot gives no count."""
        if self.message_count is None or not self.counts_both_roles:
            return self.message_count
        return count_of_one_role(self.message_count)

    @property
    def fault(self) -> EndReason | None:
        """Why this turn can never become a picture; None if it can."""
        if not 0 < len(self.persona) <= MAX_PERSONA:
            return EndReason(
                code="unknown_persona",
                sentence=f"A persona's name has 1 to {MAX_PERSONA} characters.",
            )
        if len(self.text) > MAX_TEXT or len(self.prompt or "") > MAX_TEXT:
            return EndReason(
                code="message_too_long",
                sentence=f"The message is longer than {MAX_TEXT} characters.",
            )
        if not any((part or "").strip() for part in (self.text, self.reply, self.prompt)):
            return EndReason(code="empty_message", sentence="The message holds nothing to draw.")
        return None

    @property
    def conversation(self) -> Conversation:
        """What is kept with the request until it ends: the newest 8 messages, each cut to length."""
        newest = Conversation(text=self.text, reply=self.reply and self.reply[:MAX_TEXT])
        earlier = (
            Message(role=message.role, text=text)
            for message in reversed(self.history)
            if (text := message.text[:MAX_TEXT]).strip()
        )
        room = MAX_MESSAGES - len(newest.messages)
        history = tuple(islice(earlier, room))[::-1]
        return newest.model_copy(update={"history": history, "prompt": self.prompt})
