"""A photo message before and after it is sent, and a text."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

# The limits of sendPhoto (core.telegram.org/bots/api#sendphoto): bytes, width + height in pixels,
# ratio of the longer to the shorter side, and UTF-16 units of a caption.
_MAX_PHOTO_BYTES = 10 * 10**6
_MAX_PHOTO_WIDTH_PLUS_HEIGHT = 10_000
_MAX_PHOTO_RATIO = 20
_MAX_CAPTION_UNITS = 1024
# Signs that Telegram wants escaped in a text with this markup.
_MARKDOWN_SIGN = re.compile(r"[\\_*\[\]()~`>#+=|{}.!-]")


class AiMark(StrEnum):
    """Where a photo says to people that a machine made it (DELIVERY_AI_MARK)."""

    OFF = "off"
    CORNER = "corner"
    CAPTION = "caption"
    BOTH = "both"

    @property
    def is_in_corner(self) -> bool:
        """Whether it is drawn into the picture."""
        return self in (AiMark.CORNER, AiMark.BOTH)

    @property
    def is_in_caption(self) -> bool:
        """Whether it is a line below the caption."""
        return self in (AiMark.CAPTION, AiMark.BOTH)


@dataclass(frozen=True, kw_only=True)
class MessageButton:
    """A button under a message: its label, and what Telegram sends to the bot when it is pressed."""

    label: str
    data: str


@dataclass(frozen=True, kw_only=True)
class PhotoFile:
    """The file of a picture; width and height in pixels.

    `file_id`: Telegram's id of a photo that was uploaded before, None to upload `data`.
    """

    data: bytes = b""
    file_id: str | None = None
    filename: str
    width: int
    height: int

    @property
    def fits_a_photo(self) -> bool:
        """Whether Telegram accepts it as a photo. A document may be larger."""
        short, long = sorted((self.width, self.height))
        return (
            len(self.data) <= _MAX_PHOTO_BYTES
            and short + long <= _MAX_PHOTO_WIDTH_PLUS_HEIGHT
            and long <= _MAX_PHOTO_RATIO * short
        )


@dataclass(frozen=True, kw_only=True)
class PhotoMessage(PhotoFile):
    """A picture and the chat it is sent to, or an album: its first picture, and the others.

    An album has the caption under its first picture, and no buttons.

    `parse_mode`: the markup of the caption, None for plain text.
    `last_line`: stands below the caption, or alone if there is none.
    `is_document`: it is sent as a file and not as a photo. A document has no spoiler.
    `replaces`: the id of a message of the bot whose place it takes; an edit cannot set
    `protect_content`, so that message has it already. None for a message of its own.
    """

    chat_id: int
    album: tuple[PhotoFile, ...] = ()
    caption: str | None = None
    parse_mode: str | None = None
    buttons: tuple[MessageButton, ...] = ()
    last_line: str | None = None
    has_spoiler: bool = False
    protect_content: bool = False
    reply_to_message_id: int | None = None
    message_thread_id: int | None = None
    is_document: bool = False
    replaces: int | None = None

    @property
    def files(self) -> tuple[PhotoFile, ...]:
        """The files of all its pictures; the first one is that of the message itself."""
        return (self, *self.album)

    def with_files(
        self, *, data: Sequence[bytes] | None = None, file_ids: Sequence[str] | None = None
    ) -> Self:
        """Return the message with the bytes or the file ids of all its pictures."""
        files = tuple(
            replace(
                file,
                data=b"" if data is None else data[number],
                file_id=None if file_ids is None else file_ids[number],
            )
            for number, file in enumerate(self.album, start=1)
        )
        return replace(
            self,
            data=b"" if data is None else data[0],
            file_id=None if file_ids is None else file_ids[0],
            album=files,
        )

    @property
    def short_caption(self) -> str | None:
        """The caption with its last line, as long as Telegram accepts: the caption is cut, the line not."""
        if self.caption is None or self.last_line is None:
            return self._last_line if self.caption is None else _cut(self.caption)
        ending = f"\n\n{self._last_line}"
        return _cut(self.caption, without_units=len(ending.encode("utf-16-le")) // 2) + ending

    @property
    def _last_line(self) -> str | None:
        """The last line, which has no markup, so that it shows as it is beside a caption that has."""
        match self.parse_mode:
            case "HTML":
                return self.last_line and html.escape(self.last_line, quote=False)
            case "MarkdownV2":
                return self.last_line and _MARKDOWN_SIGN.sub(r"\\\g<0>", self.last_line)
            case _:
                return self.last_line


@dataclass(frozen=True, kw_only=True)
class TextMessage:
    """A text and the chat it is told to.

    `receiver_user_id`: the one member of a group who sees it; None for all.
    """

    chat_id: int
    text: str
    buttons: tuple[MessageButton, ...] = ()
    protect_content: bool = False
    reply_to_message_id: int | None = None
    message_thread_id: int | None = None
    receiver_user_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class SentMessage:
    """A message that Telegram has accepted.

    `chat_id`: the chat that the message is in. It is not the chat that we sent to if a group has
    become a supergroup, which gets a new id.
    `file_id`: sends the same photo again without an upload; None for a document. It is valid only
    for the bot `bot_id`. Those with `album` in their names are of the other pictures of an album.
    """

    chat_id: int
    message_id: int
    file_id: str | None
    bot_id: int
    album_message_ids: tuple[int, ...] = ()
    album_file_ids: tuple[str, ...] = ()


def _cut(text: str, *, without_units: int = 0) -> str:
    units = text.encode("utf-16-le", errors="replace")
    return units[: 2 * (_MAX_CAPTION_UNITS - without_units)].decode("utf-16-le", errors="ignore")
