"""Brief: all that a prompt is written from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chatflow_hook.tables import Kind
from chatflow_hook.turn import Message, Rating
from imagegen.prompts.personas import Persona


@dataclass(frozen=True, kw_only=True)
class Brief:
    """One picture to be worded.

    `history` is oldest first. `rating` is the effective one. `prompt` is the bot's own and wins
    over everything else. `is_alone`: the picture shows the adult persona and nothing of the talk
    but the weather and the time of day. `variation` counts the variations of one picture from 1,
    0 is the picture itself. `scene` is the `Prompt.scene` of the picture that is varied.
    """

    persona: Persona
    text: str = field(default="", repr=False)
    reply: str | None = field(default=None, repr=False)
    history: tuple[Message, ...] = field(default=(), repr=False)
    language: str | None = None
    rating: Rating = Rating.SAFE
    kind: Kind = Kind.AUTOMATIC
    prompt: str | None = field(default=None, repr=False)
    is_alone: bool = False
    variation: int = 0
    scene: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def texts(self) -> list[str]:
        """What was said, the text that counts most first: the scene is in the persona's reply."""
        said = (self.reply, self.text, *(one.text for one in reversed(self.history)))
        return [text for text in said if text and text.strip()]

    @property
    def own_words(self) -> str | None:
        """The bot's own prompt, if it says anything."""
        return self.prompt if self.prompt and self.prompt.strip() else None
