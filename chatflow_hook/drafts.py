"""How a request is shown while it is made: its draft with a Stop button, and its cancel button."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Text, and_, cast, func

from chatflow_hook.tables import ImageRequest

# How the data of the cancel button begins; the request's id follows. See buttons.py for its form.
CANCEL = "pic1:cancel:"
# A draft's id is the last 31 bits of its request's id: Telegram takes a positive 32-bit number.
_BITS = 0x7FFF_FFFF
_TOP_BIT = 0x8000_0000


@dataclass(frozen=True, kw_only=True)
class StoppedDraft:
    """A draft that a person has stopped, by what Telegram's `stopped_message_generation` says.

    As in `hook.cancel(StoppedDraft(chat_id=stopped.chat.id, draft_id=stopped.draft_id))`.
    """

    chat_id: int
    draft_id: int


def cancel_data(request_id: UUID) -> str:
    """Return what the cancel button under the status message of a request carries."""
    return f"{CANCEL}{request_id.hex}"


def draft_id(request_id: UUID) -> int:
    """Return the id of the draft of a request, from 1."""
    return (request_id.int & _BITS) or 1


def is_shown_as(draft: StoppedDraft) -> ColumnElement[bool]:
    """Return the condition that a row of image_requests is shown as this draft."""
    ends = [f"{draft.draft_id & _BITS:08x}", f"{draft.draft_id & _BITS | _TOP_BIT:08x}"]
    return and_(
        ImageRequest.chat_id == draft.chat_id,
        func.right(cast(ImageRequest.id, Text), 8).in_(ends),
    )
