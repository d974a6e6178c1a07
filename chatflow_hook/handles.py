"""Handles: by what a caller names a request: itself, its id, or its message or draft in the chat."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, false, func, select

from chatflow_hook import drafts
from chatflow_hook.albums import request_of_later_message
from chatflow_hook.drafts import StoppedDraft
from chatflow_hook.outbox import Request
from chatflow_hook.tables import OPEN, ImageRequest, State


@dataclass(frozen=True, kw_only=True)
class SentPhoto:
    """A photo in a chat, or a status message, by the ids of the chat and of its message.

    As in `bot.delete_message(photo.chat_id, photo.message_id)`, and in
    `hook.vary(SentPhoto(chat_id=message.chat.id, message_id=message.message_id))`.
    """

    chat_id: int
    message_id: int


# The numbers of a photo are columns of type bigint.
_BIGINT = 2**63

# An id may be text, as it comes out of a button's data; a text that is no id names no request.
Handle = Request | UUID | str | SentPhoto | StoppedDraft


_IS_OPEN = ImageRequest.state.in_(OPEN)


def request_id(handle: Handle) -> UUID | None:
    """Return the id of the request that a handle names; None for a photo, and a text that is no id."""
    match handle:
        case Request():
            return handle.id
        case UUID():
            return handle
        case SentPhoto() | StoppedDraft():
            return None
    try:
        return UUID(handle)
    except ValueError:
        return None


def is_meant(handle: Handle) -> ColumnElement[bool]:
    """Return the condition that a row of image_requests is the one that a handle names."""
    if isinstance(handle, StoppedDraft):
        is_named = -_BIGINT <= handle.chat_id < _BIGINT
        return and_(_IS_OPEN, drafts.is_shown_as(handle)) if is_named else false()
    if not isinstance(handle, SentPhoto):
        id_ = request_id(handle)
        return false() if id_ is None else ImageRequest.id == id_
    if not all(-_BIGINT <= number < _BIGINT for number in (handle.chat_id, handle.message_id)):
        return false()
    newest = (
        select(ImageRequest.id)
        .where(
            ImageRequest.chat_id == handle.chat_id,
            ImageRequest.telegram_message_id == handle.message_id,
        )
        # Two bots may have given their messages to one user the same number.
        .order_by(ImageRequest.created_at.desc())
        .limit(1)
    )
    # A status message is one as long as its request is open.
    with_status = (
        select(ImageRequest.id)
        .where(
            _IS_OPEN,
            ImageRequest.chat_id == handle.chat_id,
            ImageRequest.status_message_id == handle.message_id,
        )
        .order_by(ImageRequest.created_at.desc())
        .limit(1)
    )
    in_album = request_of_later_message(handle.chat_id, handle.message_id)
    # Each is looked for only if there is none before it.
    queries = (newest, with_status, in_album)
    return ImageRequest.id == func.coalesce(*(query.scalar_subquery() for query in queries))


def is_on_its_way(handle: Handle) -> ColumnElement[bool]:
    """Return the condition that a row is of a photo whose delivery is not written down yet.

    Until it is, the row has no message id, so of a photo only the chat can be compared.
    """
    is_delivering = ImageRequest.state == State.DELIVERING
    match handle:
        case SentPhoto():
            is_named = -_BIGINT <= handle.chat_id < _BIGINT
            return and_(
                is_delivering, ImageRequest.chat_id == handle.chat_id if is_named else false()
            )
        case _:
            return and_(is_delivering, is_meant(handle))


def spelled(handle: Handle) -> str:
    """Return a handle as it is named in an error."""
    match handle:
        case SentPhoto():
            return f"of message {handle.message_id} in chat {handle.chat_id}"
        case StoppedDraft():
            return f"of draft {handle.draft_id} in chat {handle.chat_id}"
        case Request():
            return str(handle.id)
        case _:
            return str(handle)
