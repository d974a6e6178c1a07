"""What can go wrong, in two families named for what to do next."""

import logging


class ImagegenError(Exception):
    """Anything raised on purpose: `code` is short and stable, `sentence` is for people.

    `level` is how loudly the log says it: ERROR where a person should look. `may_have_arrived`
    says that the picture is in the chat, perhaps.
    """

    code = "internal"
    level = logging.ERROR
    may_have_arrived = False

    def __init__(self, sentence: str, *, code: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code or self.code


class Unavailable(ImagegenError):
    """The same request may succeed elsewhere or later: back to the queue.

    `retry_after_s` is a wait that somebody asked for. `costs_an_attempt` tells a failure of the
    request itself, of which there may be few, from an outage, which is nobody's fault.
    """

    code = "unavailable"
    level = logging.WARNING
    costs_an_attempt = False

    def __init__(
        self, sentence: str, *, code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(sentence, code=code)
        self.retry_after_s = retry_after_s


class Rejected(ImagegenError):
    """The request would fail again: recorded, told, done."""

    code = "rejected"
