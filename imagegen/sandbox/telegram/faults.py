"""Scripted faults of the Bot API: what the next calls get instead of a proper answer."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Self

from imagegen.sandbox.telegram import errors
from imagegen.sandbox.telegram.errors import ApiError


class TroubleEnding(Enum):
    """How a call ends without a proper answer."""

    HANG = "the connection stays open and silent"
    DROP = "the connection breaks"
    HTML = "a proxy answers with a page"


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """The fault of one call: an API error (`refusal`) or no proper answer (`ending`).

    `is_accepted`: the message is in the chat all the same. `page_status`: that of the proxy's page.
    """

    refusal: ApiError | None = None
    ending: TroubleEnding | None = None
    is_accepted: bool = False
    page_status: int = 502

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
    def drop(cls, *, is_accepted: bool = False) -> Self:
        return cls(ending=TroubleEnding.DROP, is_accepted=is_accepted)


@dataclass(frozen=True, kw_only=True)
class _ScriptedTrouble:
    trouble: Trouble
    chat_id: int | None
    method: str | None

    def matches(self, method: str, chat_id: int | None) -> bool:
        return self.method in {None, method} and self.chat_id in {None, chat_id}


class TroubleScript:
    """Faults that wait for their calls; the first one that matches a call is used up by it."""

    def __init__(self) -> None:
        self._entries: list[_ScriptedTrouble] = []

    def add(self, troubles: Iterable[Trouble], *, chat_id: int | None, method: str | None) -> None:
        self._entries += [
            _ScriptedTrouble(trouble=each, chat_id=chat_id, method=method) for each in troubles
        ]

    def clear(self) -> None:
        self._entries.clear()

    def next_for(self, method: str, chat_id: int | None) -> Trouble | None:
        """Take the first fault that matches this call; None if there is none."""
        for position, entry in enumerate(self._entries):
            if entry.matches(method, chat_id):
                return self._entries.pop(position).trouble
        return None
