"""Brief: all that a prompt builder is told of one picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chatflow_hook.tables import Kind
from chatflow_hook.turn import Conversation, Rating
from imagegen.prompts.personas import Persona


@dataclass(frozen=True, kw_only=True)
class Brief:
    """Who is drawn, what was said, and how far the picture may go.

    `rating` is the effective one. `is_alone`: nothing of the talk but a plain scene may be drawn.
    `variation` counts the other pictures of the same message, from 0; `scene` is that of the
    picture which is varied.
    """

    persona: Persona
    talk: Conversation
    rating: Rating = Rating.SAFE
    kind: Kind = Kind.AUTOMATIC
    language: str | None = None
    variation: int = 0
    is_alone: bool = False
    scene: Mapping[str, Any] | None = None

    @property
    def own_words(self) -> str | None:
        """The bot's own prompt, if it gave one."""
        words = (self.talk.prompt or "").strip()
        return words or None

    def said(self, most: int) -> list[str]:
        """Return what was said, newest first: the persona's reply is where the scene is."""
        latest = [self.talk.reply, self.talk.text]
        earlier = [message.text for message in reversed(self.talk.history)]
        return [words for words in (*latest, *earlier) if words and words.strip()][:most]
