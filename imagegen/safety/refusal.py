"""Errors for a picture that is refused, with the sentence for the person in the chat; pure."""

import logging

from chatflow_hook import messages
from chatflow_hook.tables import State
from imagegen.errors import Rejected


class Refused(Rejected):
    """The picture is not drawn or not sent. The code is the rule; the sentence does not say it."""

    # Not a warning: it is no fault of the service. The safety audit has the details.
    level = logging.INFO

    def __init__(self, rule: str, *, language: str | None) -> None:
        sentence = messages.shipped().sentence(State.REFUSED, code=rule, language=language)
        super().__init__(sentence, code=rule)


class RatingWithdrawn(Refused):
    """The picture was drawn with a rating that its user may not have any more."""

    def __init__(self, *, language: str | None) -> None:
        super().__init__(rule="rating_withdrawn", language=language)


class ImageRefused(Refused):
    """The ImageScreen did not pass the drawn image."""

    def __init__(self, *, language: str | None) -> None:
        super().__init__(rule="image_refused", language=language)
