"""The chats and files that the sandbox holds, and which images Telegram accepts as a photo."""

import secrets
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Literal

from PIL import Image

from imagegen.sandbox.telegram import errors
from imagegen.sandbox.telegram.errors import bad_request

Kind = Literal["photo", "document"]


MAX_PHOTO_BYTES = 10 * 1024 * 1024


# `ChatMessage.method` of a message that a person wrote.
WRITTEN = "written"


_MAX_SIDES = 10_000


_MAX_RATIO = 20


_SIGNATURES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
    b"GIF8": "image/gif",
}


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """An uploaded file; width and height in pixels, 0 for a document."""

    file_id: str
    kind: Kind
    name: str
    content: bytes
    width: int = 0
    height: int = 0


@dataclass(frozen=True, kw_only=True)
class ChatMessage:
    """A message of a chat; `photo` and `document` are the uploaded bytes."""

    method: str
    chat_id: int
    message_id: int
    when: datetime
    text: str | None = None
    caption: str | None = None
    photo: bytes | None = None
    document: bytes | None = None
    file_id: str | None = None
    has_spoiler: bool = False
    reply_to_message_id: int | None = None
    message_thread_id: int | None = None
    protect_content: bool = False
    reply_markup: str | None = None

    def shows_the_same_as(self, other: "ChatMessage") -> bool:
        """Tell whether an edit changed nothing that a person sees."""
        return replace(self, method=other.method, when=other.when) == other


class Chats:
    """Which chats exist, what they hold, and whom the bot may write to.

    A test may read and change it. `sent` are messages as they were before any edit, `edited` the
    results of edits, `current` the messages that a chat shows now. `known` None means that every
    chat exists.
    """

    def __init__(self) -> None:
        self.sent: list[ChatMessage] = []
        self.edited: list[ChatMessage] = []
        self.current: dict[int, dict[int, ChatMessage]] = defaultdict(dict)
        self.files: dict[str, StoredFile] = {}
        self.blocked: set[int] = set()
        self.forgotten: set[int] = set()
        self.known: set[int] | None = None
        self.migrated: dict[int, int] = {}
        self.closed_topics: set[tuple[int, int]] = set()
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
        given = (number for chat in self.current.values() for number in chat)
        self._last_message_id = max(self._last_message_id, *given, 0) + 1
        return self._last_message_id

    def has(self, chat_id: int, message_id: int) -> bool:
        return message_id in self.current[chat_id]

    def write(self, chat_id: int, text: str, message_id: int | None) -> int:
        """Store what a person writes to the bot, and return its message id."""
        number = message_id or self.next_id()
        self.current[chat_id][number] = ChatMessage(
            method=WRITTEN, chat_id=chat_id, message_id=number, when=datetime.now(UTC), text=text
        )
        return number

    def put(self, message: ChatMessage) -> None:
        """Store a message, a new one or the result of an edit."""
        chat = self.current[message.chat_id]
        (self.edited if message.message_id in chat else self.sent).append(message)
        chat[message.message_id] = message

    def keep(self, kind: Kind, name: str, content: bytes, size: tuple[int, int]) -> StoredFile:
        """Store an upload under a new file id."""
        file_id = f"{kind}-{secrets.token_urlsafe(24)}"
        width, height = size
        stored = StoredFile(
            file_id=file_id, kind=kind, name=name, content=content, width=width, height=height
        )
        self.files[file_id] = stored
        return stored

    def described(self, message: ChatMessage, bot: dict[str, Any]) -> dict[str, Any]:
        """Return a message as the Bot API describes it."""
        fields: dict[str, Any] = {
            "message_id": message.message_id,
            "from": bot,
            "chat": _chat(message.chat_id),
            "date": int(message.when.timestamp()),
            "text": message.text,
            "caption": message.caption,
            "message_thread_id": message.message_thread_id,
            "has_media_spoiler": message.has_spoiler or None,
            "has_protected_content": message.protect_content or None,
            "reply_to_message": self._replied(message),
        }
        if message.file_id is not None:
            fields |= _media(self.files[message.file_id])
        return {name: value for name, value in fields.items() if value is not None}

    def _replied(self, message: ChatMessage) -> dict[str, Any] | None:
        if message.reply_to_message_id is None:
            return None
        when = int(datetime.now(UTC).timestamp())
        chat = _chat(message.chat_id)
        return {"message_id": message.reply_to_message_id, "date": when, "chat": chat}


def _chat(chat_id: int) -> dict[str, Any]:
    if chat_id > 0:
        return {"id": chat_id, "type": "private", "first_name": f"Person {chat_id}"}
    kind = "supergroup" if str(chat_id).startswith("-100") else "group"
    return {"id": chat_id, "type": kind, "title": f"Group {chat_id}"}


def _media(stored: StoredFile) -> dict[str, Any]:
    size = {"file_unique_id": stored.file_id[-16:], "file_size": len(stored.content)}
    described = {"file_id": stored.file_id, **size}
    if stored.kind == "photo":
        return {"photo": [{**described, "width": stored.width, "height": stored.height}]}
    kind = media_type(stored.content)
    return {"document": {**described, "file_name": stored.name, "mime_type": kind}}


def measure_photo(content: bytes) -> tuple[int, int]:
    """Return width and height of a photo in pixels.

    The limits are those of the Bot API's sendPhoto: 10 MB, width and height together at most 10000,
    their ratio at most 20.

    Raises:
        ApiError: Telegram would refuse this photo.
    """
    if not content:
        raise bad_request("file must be non-empty")
    if len(content) > MAX_PHOTO_BYTES:
        raise bad_request(
            f"file of size {len(content)} bytes is too big for a photo; "
            f"the maximum size is {MAX_PHOTO_BYTES} bytes"
        )
    width, height = _size(content)
    is_too_long = max(width, height) > _MAX_RATIO * min(width, height)
    if width + height > _MAX_SIDES or is_too_long:
        raise errors.photo_dimensions()
    return width, height


def _size(content: bytes) -> tuple[int, int]:
    try:
        with Image.open(BytesIO(content)) as image:
            return image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise errors.photo_dimensions() from error
    except (OSError, ValueError, SyntaxError) as error:
        raise errors.image_process_failed() from error


def media_type(content: bytes) -> str:
    """Return the media type by the file's first bytes; an unknown one is served as a download."""
    found = (kind for start, kind in _SIGNATURES.items() if content.startswith(start))
    return next(found, "application/octet-stream")
