"""What is due to be erased: conditions for rows that were kept long enough."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, case, cast, exists, false, func, not_, or_
from sqlalchemy.orm import InstrumentedAttribute

from chatflow_hook import safety_memory
from chatflow_hook.tables import (
    NOBODY,
    OPEN,
    Dialog,
    ImageRequest,
    Kind,
    SafetyMemory,
    State,
    UnreadTurn,
    kinds_that,
)
from imagegen.db.tables import SafetyAuditEntry

IS_OPEN = ImageRequest.state.in_(OPEN)
# Not every other state is an end: a newer version may have more open states than this one.
_HAS_ENDED = and_(not_(IS_OPEN), ImageRequest.finished_at.is_not(None))
# What becomes of requests of other kinds is decided by the newer workers, which know them.
_IS_OF_KNOWN_KIND = ImageRequest.kind.in_(list(Kind))
# Covers are left out: one may be sent before the dialog's first message, when its row does not
# exist yet, and those that are drawn ahead belong to no dialog.
HAS_NO_DIALOG = and_(
    ImageRequest.kind.in_(kinds_that(lambda kind: kind.has_dialog)),
    ~exists().where(Dialog.id == ImageRequest.dialog_id),
)
HAS_ENDED_WITHOUT_DIALOG = and_(_HAS_ENDED, HAS_NO_DIALOG)
_IS_DRAWN_AHEAD = and_(
    ImageRequest.kind.in_(kinds_that(lambda kind: not kind.has_dialog)),
    ImageRequest.user_id == NOBODY,
    ImageRequest.state == State.DELIVERED,
)
# The key of a user is no number.
_MEMORY_OF_DIALOG = case((SafetyMemory.subject == safety_memory.PERSONA, SafetyMemory.key))
# What was learnt of a user and may be confirmed anew, and of a dialog that is gone.
DUE_MEMORY = or_(
    SafetyMemory.until < func.clock_timestamp(),
    and_(
        SafetyMemory.subject == safety_memory.PERSONA,
        ~exists().where(Dialog.id == cast(_MEMORY_OF_DIALOG, BigInteger)),
    ),
)
# A turn that nobody has read is kept until a worker reads it.
DUE_TURNS = UnreadTurn.read_at < func.statement_timestamp() - safety_memory.ANSWERED_WITHIN


@dataclass(frozen=True, kw_only=True)
class RetentionLimits:
    """How long things are kept, in seconds after the end of their request; None is for ever.

    The properties are conditions on the rows that are due.
    """

    context_s: float
    requests_s: float | None
    images_s: float | None

    @property
    def due_contexts(self) -> ColumnElement[bool]:
        """Requests that lose their conversation: failed ones, and delivered ones the bot's own prompt.

        All others lost it when they ended.
        """
        return and_(
            ImageRequest.state.in_([State.FAILED, State.DELIVERED]),
            ImageRequest.conversation.is_not(None),
            _ended_before(self.context_s),
        )

    @property
    def old_requests(self) -> ColumnElement[bool]:
        """Requests that are erased for their age. Covers that are drawn ahead stay."""
        return and_(_ended_before(self.requests_s), not_(_IS_DRAWN_AHEAD))

    @property
    def due_requests(self) -> ColumnElement[bool]:
        """Requests that are erased: old ones, and ended ones whose dialog does not exist any more."""
        return or_(self.old_requests, HAS_ENDED_WITHOUT_DIALOG)

    @property
    def due_notes(self) -> ColumnElement[bool]:
        """Findings of the content screen that are erased. They are kept as long as requests are."""
        return _before(SafetyAuditEntry.found_at, self.requests_s)

    @property
    def due_images(self) -> ColumnElement[bool]:
        """Requests that lose their image. Covers that are drawn ahead keep it."""
        has_image = ImageRequest.image.is_not(None)
        return and_(has_image, _ended_before(self.images_s), not_(_IS_DRAWN_AHEAD))


def _ended_before(seconds: float | None) -> ColumnElement[bool]:
    return and_(_HAS_ENDED, _IS_OF_KNOWN_KIND, _before(ImageRequest.finished_at, seconds))


def _before(moment: InstrumentedAttribute[Any], seconds: float | None) -> ColumnElement[bool]:
    if seconds is None:
        return false()
    return moment < func.statement_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, seconds)
