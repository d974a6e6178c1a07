"""Claimed: a request as the job that has claimed it sees it."""

import time
from dataclasses import dataclass
from uuid import UUID

from chatflow_hook.tables import State
from chatflow_hook.turn import Conversation
from imagegen.errors import ImagegenError
from imagegen.images import Image


class ClaimLost(ImagegenError):
    """Somebody else has the request now, or it has ended: stop without doing anything visible."""

    code = "claim_lost"


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A request as it was when this job claimed it; `claim` fences every later write."""

    id: UUID
    claim: UUID
    state: State
    dialog_id: int
    chat_id: int | None
    persona: str
    message_count: int
    conversation: Conversation | None
    caption: str | None
    has_spoiler: bool
    reply_to_message_id: int | None
    message_thread_id: int | None
    attempts: int
    draw: int
    image: str | None
    width: int | None
    height: int | None
    # On the clock of time.monotonic.
    made_at: float

    @property
    def age_s(self) -> float:
        """How long ago the picture was asked for."""
        return time.monotonic() - self.made_at

    @property
    def drawn(self) -> Image | None:
        """The stored picture, if an earlier job came as far as that."""
        if self.image is None or self.width is None or self.height is None:
            return None
        return Image(name=self.image, width=self.width, height=self.height)

    @property
    def words(self) -> str:
        """What the picture is to show, in the bot's, the user's or the persona's words."""
        if self.conversation is None:
            return ""
        said = (self.conversation.prompt, self.conversation.text, self.conversation.reply)
        return next((words for words in said if words and words.strip()), "")


@dataclass(frozen=True, kw_only=True)
class Send:
    """One send about to be made; `unknown` earlier ones may have arrived."""

    id: int
    unknown: int
