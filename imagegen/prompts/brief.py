"""Brief: all that a prompt builder is told of one picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chatflow_hook.tables import Kind
from chatflow_hook.turn import Conversation, Message, Rating
from imagegen.workflows.persona import Persona

# So many of the newest messages are read by a builder.
MESSAGES = 8


@dataclass(frozen=True, kw_only=True)
class Brief:
    """Who is drawn, what was said, and how far the picture may go.

    `rating` is the effective one. `is_alone`: nothing of the talk but weather and time of day may
    be drawn. `variation` counts the other pictures of the same message from 1, and 0 is the picture
    itself; covers are counted from 0. `scene` is the `Prompt.scene` of the picture that is varied,
    or of this one if it was worded before.
    """

    persona: Persona
    talk: Conversation = field(default=Conversation(text=""), repr=False)
    rating: Rating = Rating.SAFE
    kind: Kind = Kind.AUTOMATIC
    language: str | None = None
    variation: int = 0
    is_alone: bool = False
    scene: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def own_words(self) -> str | None:
        """The bot's own prompt, if it gave one and others' talk does not forbid it."""
        words = (self.talk.prompt or "").strip()
        return words if words and not self.is_alone else None

    @property
    def messages(self) -> list[Message]:
        """The newest messages, newest first: the persona's reply is where the scene is."""
        return newest_messages(self.talk)

    @property
    def said(self) -> list[str]:
        """The texts of these messages."""
        return [one.text for one in self.messages]


def newest_messages(talk: Conversation) -> list[Message]:
    """Return the messages of a talk that a builder reads, newest first."""
    said = (
        Message(role="persona", text=talk.reply or ""),
        Message(role="user", text=talk.text),
        *reversed(talk.history),
    )
    return [one for one in said if one.text.strip()][:MESSAGES]
