"""Brief: everything that a prompt builder is given for one picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chatflow_hook.tables import Kind
from chatflow_hook.turn import Conversation, Message, Rating
from imagegen.workflows.persona import Persona


@dataclass(frozen=True, kw_only=True)
class Brief:
    """Who is drawn, what was said, and how explicit the picture may be.

    `talk` is the conversation. `rating` is the effective one. If `is_alone` is set, the picture
    shows the persona alone, and nothing else of the conversation than season, weather and time of
    day. `variation` is 0 for the first picture of a message and counts its variations from 1; the
    covers of a persona are counted from 0. `scene` is the `WrittenPrompt.scene` of the picture that is
    varied, or of this picture if its prompt was written before; None if there is neither.
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
    def own_prompt(self) -> str | None:
        """The bot's own prompt; None if it gave none or `is_alone` forbids it."""
        prompt = (self.talk.prompt or "").strip()
        return prompt if prompt and not self.is_alone else None

    @property
    def messages(self) -> list[Message]:
        """The messages that a builder reads: the newest of the conversation, newest first."""
        return self.talk.messages

    @property
    def texts(self) -> list[str]:
        """The texts of these messages."""
        return [message.text for message in self.messages]
