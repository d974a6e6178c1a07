"""What can go wrong while a picture is sent, by what to do next.

Whether a picture may be sent again is decided by how far the send got, not by the exception's
class.
"""

import logging

from imagegen.errors import Rejected, Unavailable


class NotSent(Unavailable):
    """The picture certainly did not arrive: there was no connection, or Telegram restarts."""

    code = "telegram_unreachable"


class FloodWait(Unavailable):
    """Too many messages were sent. `retry_after_s` is the wait that Telegram demands."""

    code = "flood_wait"


class FileUnknown(Unavailable):
    """Telegram does not know the file id any more; the image has to be uploaded again."""

    code = "file_unknown"


class OutcomeUnknown(Unavailable):
    """The connection broke after it had been established: the picture may have arrived."""

    code = "delivery_unknown"


class TokenRevoked(Unavailable):
    """Telegram does not accept the bot token: nothing can be sent until an operator replaces it."""

    code = "telegram_unauthorized"
    # Telegram.send logs it once as an error; here it is logged again for each waiting picture.
    level = logging.INFO


class DeliveryUnknown(Rejected):
    """The picture may have arrived, and DELIVERY_ON_UNKNOWN forbids to send it once more."""

    code = "delivery_unknown"
    may_have_arrived = True


class ChatGone(Rejected):
    """The chat does not exist, or the bot was blocked in it or removed from it."""

    code = "chat_not_found"
    # Users block bots every day; an operator has nothing to do.
    level = logging.INFO


class SendRefused(Rejected):
    """Telegram rejects this message and would reject it again."""

    code = "telegram_refused"
