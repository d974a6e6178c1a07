"""Updates that wait for the bot: long polling, and the place of a webhook."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.sandbox.telegram import errors
from imagegen.sandbox.telegram.events import Changes

# A bot gets these only if it names them in `allowed_updates`.
_ON_REQUEST = frozenset({"chat_member", "message_reaction", "message_reaction_count"})


@dataclass(frozen=True, kw_only=True)
class Update:
    """One update; `chat_id` is the chat whose updates a webhook gets in order."""

    number: int
    type: str
    body: Mapping[str, Any]
    chat_id: int

    @property
    def described(self) -> dict[str, Any]:
        """The update as the Bot API describes it."""
        return {"update_id": self.number, self.type: self.body}


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where updates go instead of being asked for."""

    url: str
    secret_token: str | None = None
    max_connections: int = 40


class UpdateQueue:
    """The updates that the bot has not confirmed yet.

    `allowed` is what the bot last asked for; None is all but a few.
    """

    def __init__(self, changes: Changes) -> None:
        self.pending: list[Update] = []
        self.allowed: Collection[str] | None = None
        self.webhook: Webhook | None = None
        self._changes = changes
        self._last_number = 0
        self._polls = 0

    def add(self, kind: str, body: Mapping[str, Any], *, chat_id: int) -> None:
        """Add an update, unless the bot does not want its kind."""
        wanted = kind not in _ON_REQUEST if self.allowed is None else kind in self.allowed
        if not wanted:
            return
        self._last_number += 1
        self.pending.append(Update(number=self._last_number, type=kind, body=body, chat_id=chat_id))
        self._changes.notify()

    def confirm(self, update: Update) -> None:
        """Remove an update that was delivered; nothing happens if it is gone already."""
        if update in self.pending:
            self.pending.remove(update)
            self._changes.notify()

    def drop_pending(self) -> None:
        """Remove all updates."""
        self.pending.clear()

    def set_webhook(self, webhook: Webhook | None) -> None:
        """Deliver updates there from now on; a poll that waits ends with an error."""
        self.webhook = webhook
        self._changes.notify()

    async def poll(self, *, offset: int, limit: int, timeout_s: float) -> list[Update]:
        """Return updates from `offset` on, and confirm those before it; it may be cancelled.

        A negative offset counts from the end. It waits up to `timeout_s` for an update. The second
        of two polls at the same time ends the first.

        Raises:
            ApiError: a webhook is set, or another poll began meanwhile.
        """
        if self.webhook is not None:
            raise errors.polled_beside_webhook()
        self._polls += 1
        own = self._polls
        self._changes.notify()
        self._confirm_before(offset)

        def is_over() -> bool:
            return bool(self.pending) or self._polls != own or self.webhook is not None

        try:
            async with asyncio.timeout(timeout_s):
                await self._changes.wait_for(is_over)
        except TimeoutError:
            pass
        if self.webhook is not None:
            raise errors.poll_ended_by_webhook()
        if self._polls != own:
            raise errors.polled_twice()
        return self.pending[:limit]

    def _confirm_before(self, offset: int) -> None:
        if offset < 0:
            self.pending = self.pending[offset:]
        elif offset > 0:
            self.pending = [update for update in self.pending if update.number >= offset]
