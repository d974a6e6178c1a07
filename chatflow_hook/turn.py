"""Turn: all that crosses from the bot to us."""

import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

# Telegram's own limit is 4,096; a bot that joins a few messages still fits.
MAX_TEXT = 16_384

# As long as the name of a persona's folder may be.
MAX_PERSONA = 64

_MAX_HISTORY = 50


def _storable(value: Any) -> Any:
    # PostgreSQL stores no NUL, and neither it nor pydantic half of a surrogate pair, which is
    # what is left of an emoji where a text was cut.
    if not isinstance(value, str):
        return value
    return value.replace("\0", "").encode(errors="ignore").decode()


Words = Annotated[str, BeforeValidator(_storable)]

PersonaName = Annotated[Words, StringConstraints(strip_whitespace=True, to_lower=True)]


class Rating(enum.StrEnum):
    """How far a picture may go; unknown is safe."""

    SAFE = "safe"
    SUGGESTIVE = "suggestive"
    EXPLICIT = "explicit"


def _known_rating(value: Any) -> Any:
    return value if value in set(Rating) else Rating.SAFE


class Message(BaseModel):
    """One message of the conversation so far."""

    # A row may come from a newer hook; and no error may quote what people wrote.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    role: Literal["user", "persona"]
    text: Words


class Conversation(BaseModel):
    """What people wrote: kept with a request until it ends, then erased."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    text: Words
    reply: Words | None = None
    history: tuple[Message, ...] = ()
    prompt: Words | None = None


@dataclass(frozen=True, kw_only=True)
class EndReason:
    """Why a turn can't become a picture: a stable code and a sentence for people."""

    code: str
    sentence: str


class Turn(BaseModel):
    """One user message and what a picture for it needs to know.

    `user_id` is the Telegram id. `chat_id` None: no Telegram, the picture is for the caller.
    `message_count` is the dialog's count of user messages including this one; leave it out and
    the hook counts. `reply_to_message_id` is the user's message: the picture answers it, and an
    update that Telegram delivers twice is known by it. `rating` is what the bot allows at most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    dialog_id: int
    user_id: int
    chat_id: int | None
    persona: PersonaName
    text: Words
    reply: Words | None = None
    history: tuple[Message, ...] = ()
    chat_type: Words | None = None
    message_count: int | None = None
    is_refresh: bool = False
    language: Words | None = None
    rating: Annotated[Rating, BeforeValidator(_known_rating)] = Rating.SAFE
    story: Words | None = None
    prompt: Words | None = None
    caption: Words | None = None
    has_spoiler: bool = False
    reply_to_message_id: int | None = None
    message_thread_id: int | None = None

    @property
    def fault(self) -> EndReason | None:
        """Why this turn can never become a picture, if it can't."""
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
        """What people wrote, cut to the newest part of the history and to sane lengths."""
        return Conversation(
            text=self.text,
            reply=self.reply and self.reply[:MAX_TEXT],
            history=tuple(
                Message(role=said.role, text=said.text[:MAX_TEXT])
                for said in self.history[-_MAX_HISTORY:]
            ),
            prompt=self.prompt,
        )
