"""What goes to a chat, a parcel, and what comes back, a receipt."""

from dataclasses import dataclass

_MAX_PHOTO_BYTES = 10 * 10**6
_MAX_PHOTO_SIDES = 10_000
_MAX_PHOTO_RATIO = 20
_MAX_CAPTION = 1024


@dataclass(frozen=True, kw_only=True)
class PhotoMessage:
    """A picture and where it goes; sides in pixels.

    `file_id` names a photo that Telegram has already: then the bytes are not needed.
    """

    chat_id: int
    data: bytes = b""
    file_id: str | None = None
    filename: str
    width: int
    height: int
    caption: str | None = None
    has_spoiler: bool = False
    protect_content: bool = False
    reply_to_message_id: int | None = None
    message_thread_id: int | None = None

    @property
    def fits_a_photo(self) -> bool:
        """Whether Telegram takes it as a photo; a document may be larger."""
        short, long = sorted((self.width, self.height))
        return (
            len(self.data) <= _MAX_PHOTO_BYTES
            and short + long <= _MAX_PHOTO_SIDES
            and long <= _MAX_PHOTO_RATIO * short
        )

    @property
    def short_caption(self) -> str | None:
        """The caption, cut to what Telegram takes, which counts UTF-16 units."""
        if self.caption is None:
            return None
        units = self.caption.encode("utf-16-le", errors="replace")[: 2 * _MAX_CAPTION]
        return units.decode("utf-16-le", errors="ignore")


@dataclass(frozen=True, kw_only=True)
class SentMessage:
    """What Telegram says of a picture that it took.

    `file_id` sends a photo again without upload, by the bot `bot_id` alone; documents have none.

    `chat_id` is where it is now: a group that becomes a supergroup gets a new one.
    """

    chat_id: int
    message_id: int
    file_id: str | None
    bot_id: int
