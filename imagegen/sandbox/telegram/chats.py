"""The chats that the sandbox holds, and what the bot may do in them."""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from imagegen.sandbox.telegram import errors
from imagegen.sandbox.telegram.bot_commands import BotCommands
from imagegen.sandbox.telegram.events import ChatEvents, EventType
from imagegen.sandbox.telegram.files import Kind, StoredFile
from imagegen.sandbox.telegram.message import ChatMessage, Entity, describe_chat, described

# Core Telegram's: a draft that is not renewed is gone after so long.
DRAFT_LIFETIME_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A message that the bot is still writing; an empty text is shown as "Thinking…"."""

    chat_id: int
    draft_id: int
    text: str
    entities: tuple[Entity, ...] = ()
    message_thread_id: int | None = None
    can_stop: bool = False
    keep_on_stop: bool = False

    @property
    def described(self) -> dict[str, Any]:
        """The draft as watchers of the chat are told of it."""
        return {
            "draft_id": self.draft_id,
            "text": self.text,
            "entities": list(self.entities),
            "can_stop": self.can_stop,
        }


class Chats:
    """Which chats exist, what they hold, and whom the bot may write to.

    A test may read and change it. `sent` are messages as they were before any edit, `edited` the
    results of edits, `current` the messages that a chat shows now, and `ephemeral` those that one
    member of a group sees. `known` None means that every chat exists. In the groups of
    `administered` the bot is an administrator. `forums` are the groups that have topics: those in
    which somebody has written in one.
    """

    def __init__(
        self,
        *,
        bot: Mapping[str, Any],
        events: ChatEvents,
        draft_lifetime_s: float = DRAFT_LIFETIME_S,
    ) -> None:
        self.sent: list[ChatMessage] = []
        self.edited: list[ChatMessage] = []
        self.current: dict[int, dict[int, ChatMessage]] = defaultdict(dict)
        self.ephemeral: dict[int, dict[int, ChatMessage]] = defaultdict(dict)
        self.drafts: dict[tuple[int, int], Draft] = {}
        self.files: dict[str, StoredFile] = {}
        self.commands = BotCommands(self.check)
        self.blocked: set[int] = set()
        self.forgotten: set[int] = set()
        self.known: set[int] | None = None
        self.migrated: dict[int, int] = {}
        self.administered: set[int] = set()
        self.without_drafts: set[int] = set()
        self.closed_topics: set[tuple[int, int]] = set()
        self.forums: set[int] = set()
        self._bot = bot
        self._events = events
        self._draft_lifetime_s = draft_lifetime_s
        self._last_message_id = 0

    def check(self, chat_id: int) -> None:
        """Check that the bot may write to this chat.

        Raises:
            ApiError: the chat was migrated, does not exist, or its person blocked the bot.
        """
        if chat_id in self.migrated:
            raise errors.migrated(self.migrated[chat_id])
        if chat_id in self.forgotten or (self.known is not None and chat_id not in self.known):
            raise errors.chat_not_found()
        if chat_id in self.blocked:
            raise errors.blocked()

    def check_topic(self, chat_id: int, topic: int | None) -> None:
        """Check that a topic of this chat is open; None is the chat itself.

        Raises:
            ApiError: the topic is closed.
        """
        if topic is not None and (chat_id, topic) in self.closed_topics:
            raise errors.topic_closed()

    def next_id(self) -> int:
        """Return a message id that no message of any chat has."""
        self._last_message_id += 1
        return self._last_message_id

    def has(self, chat_id: int, message_id: int) -> bool:
        return message_id in self.current[chat_id]

    def find(self, message: ChatMessage) -> ChatMessage | None:
        """Return what a message is now; None if it was deleted."""
        messages, number = self._place(message)
        return messages.get(number)

    def add(self, message: ChatMessage) -> ChatMessage:
        """Store a new message, of the bot or of a person, and return it.

        It gets a number unless it has one. What the bot sends ends its drafts in that chat.
        """
        message = self._numbered(message)
        if message.chat_id < 0 and message.message_thread_id is not None:
            self.forums.add(message.chat_id)
        if message.sender is None:
            self.sent.append(message)
            self._drop_drafts(message.chat_id)
        if message.replaced_message_id is not None:
            data = {"message_id": message.replaced_message_id, "ephemeral_message_id": None}
            self._events.add(
                EventType.DELETED, message.chat_id, data, user_id=message.receiver_user_id
            )
        self._show(EventType.MESSAGE, message)
        return message

    def edit(self, message: ChatMessage) -> ChatMessage:
        """Store the result of an edit, and return it."""
        message = replace(message, edited=datetime.now(UTC))
        self.edited.append(message)
        self._show(EventType.EDITED, message)
        return message

    def react(self, message: ChatMessage, reactions: Sequence[str]) -> None:
        """Replace the bot's reactions to a message."""
        message = replace(message, reactions=tuple(reactions))
        self.current[message.chat_id][message.message_id] = message
        data = {"message_id": message.message_id, "reactions": list(reactions)}
        self._events.add(EventType.REACTION, message.chat_id, data)

    def delete(self, message: ChatMessage) -> None:
        """Delete a message that is there."""
        messages, number = self._place(message)
        del messages[number]
        data = {
            "message_id": message.message_id,
            "ephemeral_message_id": message.ephemeral_message_id,
        }
        self._events.add(EventType.DELETED, message.chat_id, data, user_id=message.receiver_user_id)

    def make_older(self, chat_id: int, message_id: int, by: timedelta) -> None:
        """Move a message into the past, for instance beyond the 48 hours of deleteMessage."""
        message = self.current[chat_id][message_id]
        self.current[chat_id][message_id] = replace(message, when=message.when - by)

    def show_action(self, chat_id: int, action: str) -> None:
        """Show for some seconds what the bot is doing."""
        self._events.add(EventType.CHAT_ACTION, chat_id, {"action": action})

    def show_draft(self, draft: Draft) -> None:
        """Show or renew a draft; it is gone after 30 s, or when the bot sends a message."""
        self.drafts[draft.chat_id, draft.draft_id] = draft
        self._events.add(EventType.DRAFT, draft.chat_id, draft.described)
        asyncio.get_running_loop().call_later(self._draft_lifetime_s, self._expire, draft)

    def drop_draft(self, draft: Draft) -> None:
        """Remove a draft; nothing happens if it is gone already."""
        if self.drafts.pop((draft.chat_id, draft.draft_id), None) is not None:
            data = {"draft_id": draft.draft_id}
            self._events.add(EventType.DRAFT_GONE, draft.chat_id, data)

    def keep(self, kind: Kind, name: str, content: bytes, size: tuple[int, int]) -> StoredFile:
        """Store an upload under a new file id."""
        file_id = f"{kind}-{secrets.token_urlsafe(24)}"
        width, height = size
        stored = StoredFile(
            file_id=file_id,
            kind=kind,
            name=name,
            content=content,
            path=f"{kind}s/file_{len(self.files)}",
            width=width,
            height=height,
        )
        self.files[file_id] = stored
        return stored

    def describe_chat(self, chat_id: int) -> dict[str, Any]:
        """Return a chat as the Bot API describes it."""
        return describe_chat(chat_id, is_forum=chat_id in self.forums)

    def described(self, message: ChatMessage) -> dict[str, Any]:
        """Return a message as the Bot API describes it."""
        replied = message.reply_to_message_id
        return described(
            message,
            bot=self._bot,
            chat=self.describe_chat(message.chat_id),
            media=self.files[message.file_id].as_media if message.file_id else {},
            replied=None if replied is None else self.current[message.chat_id].get(replied),
        )

    def _place(self, message: ChatMessage) -> tuple[dict[int, ChatMessage], int]:
        if message.ephemeral_message_id is not None:
            return self.ephemeral[message.chat_id], message.ephemeral_message_id
        return self.current[message.chat_id], message.message_id

    def _numbered(self, message: ChatMessage) -> ChatMessage:
        if message.receiver_user_id is not None:
            return replace(message, ephemeral_message_id=self.next_id(), message_id=0)
        if message.message_id:
            self._last_message_id = max(self._last_message_id, message.message_id)
            return message
        return replace(message, message_id=self.next_id())

    def _show(self, kind: EventType, message: ChatMessage) -> None:
        messages, number = self._place(message)
        messages[number] = message
        self._events.add(
            kind, message.chat_id, self.described(message), user_id=message.receiver_user_id
        )

    def _drop_drafts(self, chat_id: int) -> None:
        for draft in [each for each in self.drafts.values() if each.chat_id == chat_id]:
            self.drop_draft(draft)

    def _expire(self, draft: Draft) -> None:
        if self.drafts.get((draft.chat_id, draft.draft_id)) is draft:
            self.drop_draft(draft)
