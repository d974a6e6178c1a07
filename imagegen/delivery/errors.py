"""What Telegram can answer to a picture, by what to do next."""

import logging

from imagegen.errors import Rejected, Unavailable


class NotSent(Unavailable):
    """The picture certainly did not arrive: no connection, or Telegram restarts."""

    code = "telegram_unreachable"


class FloodWait(Unavailable):
    """Too many messages: Telegram names the seconds to wait."""

    code = "flood_wait"


class FileUnknown(Unavailable):
    """Telegram does not know the file id any more: the bytes do instead."""

    code = "file_unknown"


class OutcomeUnknown(Unavailable):
    """The connection broke after it was made: the picture may have arrived."""

    code = "delivery_unknown"


class TokenRevoked(Unavailable):
    """Telegram does not know the token any more: no picture can be sent until it is replaced."""

    code = "telegram_unauthorized"
    # Said once and loudly where it is noticed; every waiting picture repeats it.
    level = logging.INFO


class DeliveryUnknown(Rejected):
    """Nobody can say whether the picture arrived, and it may not be sent once more."""

    code = "delivery_unknown"
    may_have_arrived = True


class ChatGone(Rejected):
    """Nobody is there to receive it: blocked, kicked, deleted, never existed."""

    code = "chat_not_found"
    # What people do with their chats is their business.
    level = logging.INFO


class SendRefused(Rejected):
    """Telegram does not take this message."""

    code = "telegram_refused"
