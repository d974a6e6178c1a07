"""A request as the job that has claimed it sees it."""

import enum
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid5

from pydantic import ValidationError

from chatflow_hook.manual_requests import OWN_PROMPT
from chatflow_hook.tables import NOBODY, Kind, State
from chatflow_hook.turn import KNOWN_ROLES_ONLY, Conversation
from imagegen.errors import ImagegenError, Rejected, Unavailable
from imagegen.metrics import StageTimes
from imagegen.storage.store import StoredImage

# A deploy or a power cut ends many jobs that are not the cause; twice in a row is a reason to
# suspect a request.
SUSPECT_AFTER_CRASHES = 2


class ClaimLost(ImagegenError):
    """Another job has claimed the request, or it has ended: stop without doing anything visible."""

    code = "claim_lost"
    level = logging.WARNING


class TooLate(Rejected):
    """The request is older than REQUEST_MAX_AGE: a late picture in a chat is worse than none."""

    code = "too_old"
    level = logging.WARNING


class ConversationUnreadable(Unavailable):
    """The row's conversation has a form that only a newer worker knows: it is left to that one."""

    code = "newer_version"


@dataclass(frozen=True, kw_only=True)
class StatusMessage:
    """A message in the chat that says how far a request is, until the picture takes its place.

    `is_protected`: it cannot be forwarded or saved, and neither can a picture in its place.
    """

    message_id: int
    is_protected: bool


@dataclass(frozen=True, kw_only=True)
class ClaimedRequest:
    """A request as it was when this job claimed it.

    `claim` is the token that fences every later write. `made_at` and `proved_at` are on the clock
    of time.monotonic: when the request was queued, and when it was last seen to be ours.
    `traceparent` names the trace of the bot's turn. `stages` is how long this job took for each
    stage so far; the copies of a request share it.
    """

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
    caption_parse_mode: str | None
    persona_caption: str | None
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
    album_images: Sequence[str] | None
    width: int | None
    height: int | None
    crashes: int
    status_message_id: int | None
    status_is_protected: bool
    traceparent: str | None = None
    # Whether the user has confirmed their age and nothing learnt keeps the dialog safe, at the time
    # of the claim. Before a send it is read again.
    may_exceed_safe: bool
    # Whether turns were noted then that have to be read first, since they may say more about that.
    has_unread_turns: bool
    made_at: float
    proved_at: float
    stages: StageTimes = field(default_factory=StageTimes, compare=False)

    @property
    def is_suspect(self) -> bool:
        """Whether so many of its jobs in a row have vanished with their workers that it may be why."""
        return self.crashes >= SUSPECT_AFTER_CRASHES

    @property
    def next_prompt_id(self) -> UUID:
        """The id of the prompt that is drawn next; it follows from the request and `draw`."""
        return uuid5(self.id, str(self.draw + 1))

    @property
    def status(self) -> StatusMessage | None:
        """The status message that an earlier job has left in the chat; None if there is none."""
        if self.status_message_id is None:
            return None
        return StatusMessage(
            message_id=self.status_message_id, is_protected=self.status_is_protected
        )

    def with_status(self, status: StatusMessage | None) -> "ClaimedRequest":
        """Return the request with the status message that this job has left in the chat."""
        return replace(
            self,
            status_message_id=None if status is None else status.message_id,
            status_is_protected=status is not None and status.is_protected,
        )

    @property
    def is_drawn_ahead(self) -> bool:
        """Whether it is a cover that `imagegen covers` has ordered: nobody waits for it in a chat."""
        return self.user_id == NOBODY

    @property
    def age_s(self) -> float:
        """How many seconds ago the request was queued. A retry by an operator queues it again."""
        return time.monotonic() - self.made_at

    def time_left_s(self, max_age_s: float) -> float | None:
        """Return for how many seconds the picture is still wanted; None: without limit.

        `max_age_s` 0 is no limit, and a picture that is drawn ahead has none.

        Raises:
            TooLate: the request is older than `max_age_s`.
        """
        if not max_age_s or self.is_drawn_ahead:
            return None
        if self.age_s > max_age_s:
            raise TooLate(f"the chat has moved on for {self.age_s:.0f} s")
        return max_age_s - self.age_s

    @property
    def drawn(self) -> StoredImage | None:
        """The stored image if the request is drawn already, else None."""
        if self.image is None or self.width is None or self.height is None:
            return None
        album = tuple(self.album_images or ())
        return StoredImage(name=self.image, width=self.width, height=self.height, album=album)

    @property
    def own_prompt_alone(self) -> dict[str, str] | None:
        """The conversation without what people wrote: the bot's own prompt, if it was drawn.

        A variation is drawn from it.
        """
        prompt = (self.conversation or {}).get("prompt")
        is_drawn = (self.scene or {}).get("source") == OWN_PROMPT
        return {"text": "", "prompt": prompt} if prompt and is_drawn else None

    @property
    def talk(self) -> Conversation:
        """What people wrote; empty if it was erased.

        Raises:
            ConversationUnreadable: it has a form that this version does not know.
        """
        if self.conversation is None:
            return Conversation(text="")
        try:
            return Conversation.model_validate(self.conversation, context=KNOWN_ROLES_ONLY)
        except ValidationError:
            raise ConversationUnreadable("a newer version has written its conversation") from None


class ClaimState(enum.Enum):
    """What became of a request while a job was working on it."""

    OURS = enum.auto()
    # Another job has claimed it and waits for the same prompt.
    TAKEN = enum.auto()
    # It has ended, or another job draws it again: nobody waits for our prompt.
    ENDED = enum.auto()


@dataclass(frozen=True, kw_only=True)
class EarlierSends:
    """What became of the sends of a request that were made before, since an operator retried it.

    `unknown`: how many may have arrived, the edits of a status message among them, of which there
    are `unknown_edits`: to repeat these is harmless. `refused`: how many Telegram has refused, the last ones in
    a row, for a reason that we have no name for. `arrived_as`: the id of the message if one has
    arrived, although its job could not finish the request.
    """

    unknown: int = 0
    unknown_edits: int = 0
    refused: int = 0
    arrived_as: int | None = None


@dataclass(frozen=True, kw_only=True)
class DeliveryAttempt(EarlierSends):
    """An attempt to send that is about to be made, and what became of those before it.

    Nothing is sent if an earlier one has arrived. `proved_at`: when the request was last seen to be
    ours, on the clock of time.monotonic.
    """

    id: int
    request_id: UUID
    proved_at: float
