"""A message of a chat, and how the Bot API describes it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from json import JSONDecodeError, loads
from typing import Any

# `ChatMessage.method` of a message that a person wrote.
WRITTEN = "written"

# The limit of a message, in characters.
MESSAGE_LENGTH = 4096

Entity = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ChatMessage:
    """A message of a chat; `photo` and `document` are the uploaded bytes.

    `text` and `caption` have no markup left; `entities` are those of either. `sender` is the user
    who wrote it, None for the bot. An ephemeral message has the number `ephemeral_message_id`, the
    `message_id` 0, and is seen by `receiver_user_id` alone, maybe in place of another message.
    """

    method: str
    chat_id: int
    message_id: int
    when: datetime
    text: str | None = None
    caption: str | None = None
    entities: tuple[Entity, ...] = ()
    photo: bytes | None = None
    document: bytes | None = None
    file_id: str | None = None
    has_spoiler: bool = False
    reply_to_message_id: int | None = None
    message_thread_id: int | None = None
    protect_content: bool = False
    disable_notification: bool = False
    reply_markup: str | None = None
    media_group_id: str | None = None
    sender: Mapping[str, Any] | None = None
    edited: datetime | None = None
    reactions: tuple[str, ...] = ()
    ephemeral_message_id: int | None = None
    receiver_user_id: int | None = None
    replaced_message_id: int | None = None

    def shows_the_same_as(self, other: "ChatMessage") -> bool:
        """Tell whether an edit changed nothing that a person sees."""
        return replace(self, method=other.method, edited=other.edited) == other

    @property
    def buttons(self) -> list[list[dict[str, Any]]]:
        """The rows of its inline keyboard; empty without one."""
        try:
            rows = loads(self.reply_markup or "{}").get("inline_keyboard", [])
        except (JSONDecodeError, AttributeError):
            return []
        return rows if isinstance(rows, list) else []


def described(
    message: ChatMessage,
    *,
    bot: Mapping[str, Any],
    chat: Mapping[str, Any],
    media: Mapping[str, Any],
    replied: ChatMessage | None,
) -> dict[str, Any]:
    """Return a message as the Bot API describes it.

    `chat` is the description of its chat, `media` the field of its file, `replied` the message that
    it answers.
    """
    entities = list(message.entities) or None
    receiver = message.receiver_user_id
    fields: dict[str, Any] = {
        "message_id": message.message_id,
        "from": message.sender or bot,
        "chat": chat,
        "date": int(message.when.timestamp()),
        "edit_date": int(message.edited.timestamp()) if message.edited else None,
        "text": message.text,
        "entities": entities if message.text is not None else None,
        "caption": message.caption,
        "caption_entities": entities if message.caption is not None else None,
        "message_thread_id": message.message_thread_id,
        "is_topic_message": message.message_thread_id is not None or None,
        "media_group_id": message.media_group_id,
        "has_media_spoiler": message.has_spoiler or None,
        "has_protected_content": message.protect_content or None,
        "reply_to_message": _replied(message, bot, chat, replied),
        "reply_markup": {"inline_keyboard": message.buttons} if message.buttons else None,
        "ephemeral_message_id": message.ephemeral_message_id,
        "receiver_user": None if receiver is None else describe_user(receiver),
        **media,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _replied(
    message: ChatMessage,
    bot: Mapping[str, Any],
    chat: Mapping[str, Any],
    replied: ChatMessage | None,
) -> dict[str, Any] | None:
    if message.reply_to_message_id is None:
        return None
    if replied is None:  # deleted since
        return {"message_id": message.reply_to_message_id, "date": 0, "chat": chat}
    bare = replace(replied, reply_to_message_id=None)
    return described(bare, bot=bot, chat=chat, media={}, replied=None)


def describe_chat(chat_id: int, *, is_forum: bool = False) -> dict[str, Any]:
    """Return a chat as the Bot API describes it; a negative id is a group, maybe one with topics."""
    if chat_id > 0:
        return {"id": chat_id, "type": "private", "first_name": f"Person {chat_id}"}
    if is_forum:
        return {**describe_chat(chat_id), "type": "supergroup", "is_forum": True}
    kind = "supergroup" if str(chat_id).startswith("-100") else "group"
    return {"id": chat_id, "type": kind, "title": f"Group {chat_id}"}


def describe_user(
    user_id: int, *, name: str | None = None, language_code: str = "en"
) -> dict[str, Any]:
    """Return a person as the Bot API describes them."""
    return {
        "id": user_id,
        "is_bot": False,
        "first_name": name or f"Person {user_id}",
        "language_code": language_code,
    }
