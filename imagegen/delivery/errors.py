"""What can go wrong while a picture is sent, by what to do next.

Whether a picture may be sent again is decided by how far the send got, not by the exception's
class.
"""

import logging

from imagegen.errors import Rejected, Unavailable


class NotSent(Unavailable):
    """The picture certainly did not arrive: no connection, a proxy's own answer, or a restart."""

    code = "telegram_unreachable"


class FloodWait(Unavailable):
    """Too many messages were sent. `retry_after_s` is the wait that Telegram demands."""

    code = "flood_wait"


class FileUnknown(Unavailable):
    """Telegram cannot send this file id any more; the image has to be uploaded again."""

    code = "file_unknown"


class PlaceRefused(Unavailable):
    """Telegram accepts nothing in this topic or as this reply; the chat itself may be open."""

    code = "topic_closed"


class PhotoRefused(Unavailable):
    """Telegram cannot make a photo of this file; another encoding, or a document, may pass."""

    code = "photo_refused"


class MessageGone(Unavailable):
    """The message that is to be edited is not there any more, or shows something else."""

    code = "message_gone"


class DraftRefused(Unavailable):
    """The chat takes no drafts, or the Bot API's server knows none; a message may pass."""

    code = "draft_refused"


class ToldLater(Unavailable):
    """A picture of this chat comes first, or Telegram's limits leave no room for this now."""

    code = "told_later"
    level = logging.DEBUG


class AnswerUnknown(Unavailable):
    """Telegram refused with an answer that we have no name for. Nothing was sent."""

    code = "telegram_answer_unknown"


class OutcomeUnknown(Unavailable):
    """The connection broke after it had been established: the picture may have arrived."""

    code = "delivery_unknown"


class TokenRevoked(Unavailable):
    """Telegram does not accept the bot token: nothing can be sent until an operator replaces it."""

    code = "telegram_unauthorized"
    # Telegram.send logs it once as an error; here it is logged again for each waiting picture.
    level = logging.INFO


class DeliveryUnknown(Rejected):
    """The picture may have arrived, and it is not sent once more."""

    code = "delivery_unknown"


class ChatGone(Rejected):
    """The chat does not exist, or its people do not let the bot send pictures there."""

    code = "chat_not_found"
    # Users block bots every day; an operator has nothing to do.
    level = logging.INFO


class SendRefused(Rejected):
    """Telegram rejects this message and would reject it again."""

    code = "telegram_refused"
