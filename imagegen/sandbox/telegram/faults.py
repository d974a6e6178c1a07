"""Scripted faults of the Bot API: what the next calls get instead of a proper answer."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Self

from imagegen.sandbox.telegram import errors
from imagegen.sandbox.telegram.errors import ApiError

# A bot polls all the time: a fault that names no method is not for it.
_POLL = "getUpdates"


class TroubleEnding(Enum):
    """How a call ends without a proper answer."""

    HANG = "the connection stays open and silent"
    DROP = "the connection breaks"
    HTML = "a proxy answers with a page"


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """The fault of one call: an API error (`refusal`) or no proper answer (`ending`).

    `is_accepted`: the message is in the chat all the same. `page_status`: that of the proxy's page.
    With `delay_s` the call is carried out at once, and answered so many seconds later.
    """

    refusal: ApiError | None = None
    ending: TroubleEnding | None = None
    is_accepted: bool = False
    page_status: int = 502
    delay_s: float = 0.0

    @classmethod
    def flood(cls, retry_after_s: int) -> Self:
        return cls(refusal=errors.flood(retry_after_s))

    @classmethod
    def migrated(cls, chat_id: int) -> Self:
        return cls(refusal=errors.migrated(chat_id))

    @classmethod
    def too_large(cls) -> Self:
        return cls(refusal=errors.too_large())

    @classmethod
    def unauthorized(cls) -> Self:
        return cls(refusal=errors.unauthorized())

    @classmethod
    def refused(cls, status: int, description: str) -> Self:
        """Answer with any status and description, for errors without a method here."""
        return cls(refusal=ApiError(status, description))

    @classmethod
    def server_error(cls, status: int = 500, description: str = "Internal Server Error") -> Self:
        return cls(refusal=ApiError(status, description))

    @classmethod
    def restarting(cls) -> Self:
        return cls(refusal=ApiError(500, "Internal Server Error: restart"))

    @classmethod
    def bad_gateway(cls, *, is_accepted: bool = False) -> Self:
        """Answer with the proxy's web page (502); the call may have been executed."""
        return cls(ending=TroubleEnding.HTML, is_accepted=is_accepted)

    @classmethod
    def blocked_on_the_way(cls, status: int = 403) -> Self:
        """Answer with a proxy's or firewall's page; the call never comes to the Bot API."""
        return cls(ending=TroubleEnding.HTML, page_status=status)

    @classmethod
    def hang(cls, *, is_accepted: bool = False) -> Self:
        return cls(ending=TroubleEnding.HANG, is_accepted=is_accepted)

    @classmethod
    def late(cls, delay_s: float) -> Self:
        """Carry the call out, and answer so late that the caller may have given up."""
        return cls(delay_s=delay_s)

    @classmethod
    def drop(cls, *, is_accepted: bool = False) -> Self:
        return cls(ending=TroubleEnding.DROP, is_accepted=is_accepted)


@dataclass(frozen=True, kw_only=True)
class ScriptedTrouble:
    """A fault that waits for its calls: those to a chat or a method, or any but getUpdates.

    It happens `times` times; None is for ever. `text` is how it was written, if it was.
    """

    trouble: Trouble
    chat_id: int | None = None
    method: str | None = None
    times: int | None = 1
    text: str = ""

    def matches(self, method: str, chat_id: int | None) -> bool:
        """Tell whether a call gets this fault."""
        is_method = method.lower() == self.method.lower() if self.method else method != _POLL
        return is_method and self.chat_id in {None, chat_id}


class TroubleScript:
    """Faults that wait for their calls; the first one that matches a call happens."""

    def __init__(self) -> None:
        self.waiting: list[ScriptedTrouble] = []

    def add(self, *troubles: ScriptedTrouble) -> None:
        self.waiting += troubles

    def clear(self) -> None:
        self.waiting.clear()

    def next_for(self, method: str, chat_id: int | None) -> Trouble | None:
        """Take the first fault that matches this call; None if there is none."""
        for position, entry in enumerate(self.waiting):
            if entry.matches(method, chat_id):
                if entry.times is not None:
                    left = entry.times - 1
                    self.waiting[position : position + 1] = (
                        [replace(entry, times=left)] if left else []
                    )
                return entry.trouble
        return None
