"""What happens in the chats: kept for those who watch, who are woken by it."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

# Events that a chat keeps for a watcher that comes back; a page that missed more loads the chat.
_KEPT_EVENTS = 500

FoundT = TypeVar("FoundT")


class Changes:
    """Wakes those who wait for something to change, within one event loop."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Wake everybody who waits."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for(self, find: Callable[[], FoundT | None]) -> FoundT:
        """Wait until `find` returns something true, and return that; it may be cancelled."""
        while not (found := find()):
            await self._changed.wait()
        return found


class EventType(StrEnum):
    """What happened in a chat; `data` of a `ChatEvent` says to what."""

    MESSAGE = "message"
    EDITED = "edited"
    DELETED = "deleted"
    CHAT_ACTION = "chat_action"
    DRAFT = "draft"
    DRAFT_GONE = "draft_gone"
    CALLBACK_ANSWER = "callback_answer"
    REACTION = "reaction"


@dataclass(frozen=True, kw_only=True)
class ChatEvent:
    """One event of a chat; `number` grows over all chats.

    `user_id` is the only person who sees it (an ephemeral message, the answer to a press), and None
    if everybody in the chat does.
    """

    number: int
    type: EventType
    chat_id: int
    data: Mapping[str, Any]
    user_id: int | None = None


class ChatEvents:
    """The latest events of each chat."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._by_chat: dict[int, deque[ChatEvent]] = defaultdict(lambda: deque(maxlen=_KEPT_EVENTS))
        self._last_dropped: defaultdict[int, int] = defaultdict(int)
        self.last_number = 0

    def add(
        self, kind: EventType, chat_id: int, data: Mapping[str, Any], *, user_id: int | None = None
    ) -> None:
        """Add an event, and wake those who wait."""
        self.last_number += 1
        kept = self._by_chat[chat_id]
        if len(kept) == kept.maxlen:
            self._last_dropped[chat_id] = kept[0].number
        kept.append(
            ChatEvent(
                number=self.last_number, type=kind, chat_id=chat_id, data=data, user_id=user_id
            )
        )
        self._changes.notify()

    def is_kept_since(self, number: int, chat_id: int) -> bool:
        """Tell whether all events of a chat after one are still here."""
        return number >= self._last_dropped[chat_id]

    def after(self, number: int, chat_id: int, viewer: int | None) -> list[ChatEvent]:
        """Return the events of a chat after one; of those for one person only the viewer's.

        `viewer` None sees everything.
        """
        return [
            event
            for event in self._by_chat[chat_id]
            if event.number > number and (viewer is None or event.user_id in {None, viewer})
        ]

    async def wait_after(self, number: int, chat_id: int, viewer: int | None) -> list[ChatEvent]:
        """Wait for events after one, and return them; it may be cancelled."""
        return await self._changes.wait_for(lambda: self.after(number, chat_id, viewer))
