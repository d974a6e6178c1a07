"""Claimed: a request as the job that has claimed it sees it."""

import enum
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chatflow_hook.tables import Kind, State
from chatflow_hook.turn import Conversation
from imagegen.errors import ImagegenError, Rejected
from imagegen.images import Image


class ClaimLost(ImagegenError):
    """Somebody else has the request now, or it has ended: stop without doing anything visible."""

    code = "claim_lost"
    level = logging.WARNING


class TooLate(Rejected):
    """An old picture in a chat that has moved on is worse than none."""

    code = "too_old"
    level = logging.WARNING


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A request as it was when this job claimed it; `claim` fences every later write."""

    id: UUID
    claim: UUID
    state: State
    kind: Kind
    dialog_id: int
    user_id: int
    chat_id: int | None
    chat_type: str | None
    persona: str
    message_count: int
    variation: int
    conversation: Mapping[str, Any] | None
    scene: Mapping[str, Any] | None
    language: str | None
    rating: str
    story: str | None
    caption: str | None
    has_spoiler: bool
    reply_to_message_id: int | None
    message_thread_id: int | None
    attempts: int
    draw: int
    host: str | None
    prompt_id: UUID | None
    seed: int | None
    drawn_rating: str | None
    image: str | None
    width: int | None
    height: int | None
    crashes: int
    # On the clock of time.monotonic: when it was asked for, and when it was last seen to be ours.
    made_at: float
    proved_at: float

    @property
    def age_s(self) -> float:
        """How long ago the picture was asked for."""
        return time.monotonic() - self.made_at

    def time_left_s(self, max_age_s: float) -> float | None:
        """How long the picture is still wanted, None for ever. Raises TooLate if it is not."""
        if not max_age_s:
            return None
        if self.age_s > max_age_s:
            raise TooLate(f"the chat has moved on for {self.age_s:.0f} s")
        return max_age_s - self.age_s

    @property
    def moves_the_watermark(self) -> bool:
        """Whether the dialog's next picture is counted from this one."""
        return self.kind in (Kind.AUTOMATIC, Kind.ASKED)

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
        talk = Conversation.model_validate(self.conversation)
        said = (talk.prompt, talk.text, talk.reply)
        return next((words for words in said if words and words.strip()), "")


class Standing(enum.Enum):
    """What became of a request while a job carried it."""

    OURS = enum.auto()
    # Another job has it now, and waits for the same prompt.
    TAKEN = enum.auto()
    # It is over, or another job draws it anew: nobody waits for our prompt.
    ENDED = enum.auto()


@dataclass(frozen=True, kw_only=True)
class Send:
    """One send about to be made; `unknown` earlier ones may have arrived.

    `proved_at` is when the request was seen to be ours, as time.monotonic counts.
    """

    id: int
    unknown: int
    proved_at: float
