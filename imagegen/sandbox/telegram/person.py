"""A person in a chat with the bot."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from imagegen.sandbox.errors import SandboxError
from imagegen.sandbox.telegram.chats import Chats, Draft
from imagegen.sandbox.telegram.events import Changes, ChatEvents, EventType
from imagegen.sandbox.telegram.markup.entities import find_entities
from imagegen.sandbox.telegram.message import (
    MESSAGE_LENGTH,
    WRITTEN,
    ChatMessage,
    describe_user,
)
from imagegen.sandbox.telegram.updates import UpdateQueue


class NothingToPress(SandboxError):
    """There is no such message, button or draft with a Stop button for this person."""


class NothingToWrite(SandboxError, ValueError):
    """A text that Telegram's apps do not send: an empty one, or one longer than a message."""


@dataclass(frozen=True, kw_only=True)
class CallbackAnswer:
    """What the bot answers to a press: a short notice, or an alert; an empty text shows nothing."""

    text: str = ""
    show_alert: bool = False
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class CallbackQuery:
    """A press of a button."""

    query_id: str
    user_id: int
    message: ChatMessage
    when: datetime


class CallbackQueries:
    """The presses of buttons, and the bot's answers by query id."""

    def __init__(self, changes: Changes, events: ChatEvents) -> None:
        self._changes = changes
        self._events = events
        self._queries: dict[str, CallbackQuery] = {}
        self._answers: dict[str, CallbackAnswer] = {}

    def add(self, user_id: int, message: ChatMessage) -> CallbackQuery:
        """Record a press."""
        query = CallbackQuery(
            query_id=str(secrets.randbelow(2**62)),
            user_id=user_id,
            message=message,
            when=datetime.now(UTC),
        )
        self._queries[query.query_id] = query
        return query

    def find(self, query_id: str) -> CallbackQuery | None:
        return self._queries.get(query_id)

    def answer(self, query: CallbackQuery, answer: CallbackAnswer) -> None:
        """Show the bot's answer to the person who pressed."""
        self._answers[query.query_id] = answer
        data = {
            "callback_query_id": query.query_id,
            "text": answer.text,
            "show_alert": answer.show_alert,
            "url": answer.url,
        }
        chat_id = query.message.chat_id
        self._events.add(EventType.CALLBACK_ANSWER, chat_id, data, user_id=query.user_id)

    async def wait_for_answer(self, query_id: str) -> CallbackAnswer:
        """Wait for the bot's answer to a press; it may be cancelled."""
        return await self._changes.wait_for(lambda: self._answers.get(query_id))


@dataclass(frozen=True, kw_only=True)
class ChatPerson:
    """A person in a chat: writes, presses buttons, stops drafts, sees what they would see.

    `SandboxTelegram.person` makes one. In a private chat `chat_id` is `user_id`; a negative
    `chat_id` is a group.
    """

    chats: Chats
    updates: UpdateQueue
    callbacks: CallbackQueries
    user_id: int
    chat_id: int
    name: str | None = None
    language_code: str = "en"

    @property
    def user(self) -> dict[str, Any]:
        """The person as the Bot API describes them."""
        return describe_user(self.user_id, name=self.name, language_code=self.language_code)

    def write(
        self,
        text: str,
        *,
        reply_to: int | None = None,
        message_thread_id: int | None = None,
        message_id: int | None = None,
    ) -> int:
        """Write a message, which the bot gets as an update; returns its number.

        In a group a command that the bot has announced with `is_ephemeral` is seen by the bot and
        this person alone, and its number is an `ephemeral_message_id`.

        Raises:
            NothingToWrite: the text is empty, or longer than a message.
        """
        if not text.strip():
            raise NothingToWrite("an empty message cannot be written")
        if len(text) > MESSAGE_LENGTH:
            raise NothingToWrite(f"a message has at most {MESSAGE_LENGTH} characters")
        is_ephemeral = self.chat_id < 0 and self._is_ephemeral_command(text)
        message = self.chats.add(
            ChatMessage(
                method=WRITTEN,
                chat_id=self.chat_id,
                message_id=message_id or 0,
                when=datetime.now(UTC),
                text=text,
                entities=tuple(find_entities(text)),
                reply_to_message_id=reply_to,
                message_thread_id=message_thread_id,
                sender=self.user,
                receiver_user_id=self.user_id if is_ephemeral else None,
            )
        )
        self.updates.add("message", self.chats.described(message), chat_id=self.chat_id)
        return message.ephemeral_message_id or message.message_id

    def press(self, message_id: int, button: str) -> str:
        """Press an inline button, by its text or its callback data; returns the query's id.

        `message_id` may be that of an ephemeral message for this person.

        Raises:
            NothingToPress: this person sees no such message, or it has no such button.
        """
        message = self._seen(message_id)
        data = _callback_data(message, button)
        query = self.callbacks.add(self.user_id, message)
        body = {
            "id": query.query_id,
            "from": self.user,
            "message": self.chats.described(message),
            "chat_instance": str(self.chat_id),
            "data": data,
        }
        self.updates.add("callback_query", body, chat_id=self.chat_id)
        return query.query_id

    async def answer(self, query_id: str) -> CallbackAnswer:
        """Wait for the bot's answer to a press; it may be cancelled."""
        return await self.callbacks.wait_for_answer(query_id)

    def stop(self, draft_id: int) -> None:
        """Press Stop under a draft: the bot gets `stopped_message_generation`.

        Raises:
            NothingToPress: there is no such draft, or it has no Stop button.
        """
        draft = self.chats.drafts.get((self.chat_id, draft_id))
        if draft is None or not draft.can_stop:
            raise NothingToPress(f"there is no draft {draft_id} with a Stop button")
        if not draft.keep_on_stop:
            self.chats.drop_draft(draft)
        self.updates.add("stopped_message_generation", self._stopped(draft), chat_id=self.chat_id)

    def messages(self) -> list[ChatMessage]:
        """Return what this person sees in the chat, from the first message to the last."""
        own = [
            message
            for message in self.chats.ephemeral[self.chat_id].values()
            if message.receiver_user_id == self.user_id
        ]
        replaced = {message.replaced_message_id for message in own}
        common = [
            message
            for message in self.chats.current[self.chat_id].values()
            if message.message_id not in replaced
        ]
        return sorted([*common, *own], key=lambda message: message.when)

    def _is_ephemeral_command(self, text: str) -> bool:
        command = text.split(maxsplit=1)[0].partition("@")[0] if text.strip() else ""
        return any(
            command == f"/{each['command']}" and each.get("is_ephemeral")
            for each in self.chats.commands.shown(
                chat_id=self.chat_id, user_id=self.user_id, language=self.language_code
            )
        )

    def _seen(self, message_id: int) -> ChatMessage:
        for message in self.messages():
            if message_id in {message.message_id, message.ephemeral_message_id}:
                return message
        raise NothingToPress(f"there is no message {message_id} in chat {self.chat_id}")

    def _stopped(self, draft: Draft) -> Mapping[str, Any]:
        fields = {
            "chat": self.chats.describe_chat(self.chat_id),
            "draft_id": draft.draft_id,
            "message_thread_id": draft.message_thread_id,
        }
        return {name: value for name, value in fields.items() if value is not None}


def _callback_data(message: ChatMessage, button: str) -> str:
    for row in message.buttons:
        for each in row:
            data = each.get("callback_data")
            if data and button in {each["text"], data}:
                return str(data)
    raise NothingToPress(f"message {message.message_id} has no button {button!r}")
