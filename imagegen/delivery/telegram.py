"""Telegram: sends a picture to a chat; aiogram's errors become ours here."""

from types import TracebackType
from typing import Self

import structlog
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    RestartingTelegram,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods.base import Response
from aiogram.types import BufferedInputFile, Message, ReplyParameters
from aiohttp import ClientConnectorError

from imagegen.delivery.errors import (
    ChatGone,
    FileUnknown,
    FloodWait,
    NotSent,
    OutcomeUnknown,
    SendRefused,
    TokenRevoked,
)
from imagegen.delivery.message import PhotoMessage, SentMessage
from imagegen.errors import ImagegenError

log = structlog.get_logger(__name__)

# aiogram names this type anew at each answer. pydantic keeps such types only as long as somebody
# else does, and building one takes as long as all the rest of a send.
_ANSWER = Response[Message]

_REVOKED_WAIT_S = 10.0
_PROBE_S = 2
# Of a file id that is not of this bot, or too old, or no photo's.
_NO_FILE = (
    "wrong file identifier",
    "file_reference",
    "can't use file of type",
    "wrong remote file",
)
_NOBODY = ("chat not found", "user not found", "peer_id_invalid", "group chat was deactivated")


class Telegram:
    """One bot; open it with `async with`."""

    def __init__(self, *, token: str, api_url: str, timeout_s: float) -> None:
        session = AiohttpSession(api=TelegramAPIServer.from_base(api_url), timeout=timeout_s)
        self._bot = Bot(token=token, session=session)
        # Nothing can be sent; `probe` says when it is over.
        self.is_revoked = False

    @property
    def bot_id(self) -> int:
        """Whose file ids are good here."""
        return self._bot.id

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._bot.session.close()

    async def send(self, parcel: PhotoMessage) -> SentMessage:
        """Send a picture, as a photo where it fits, and follow a group that has moved.

        Raises NotSent, FileUnknown, FloodWait, OutcomeUnknown, TokenRevoked, ChatGone or SendRefused.
        """
        chat_id = parcel.chat_id
        try:
            try:
                message = await self._send(parcel, chat_id)
            except TelegramMigrateToChat as moved:
                chat_id = moved.migrate_to_chat_id
                message = await self._send(parcel, chat_id)
        except (TelegramAPIError, ClientDecodeError) as error:
            raise self._note_token(error_of(error)) from error
        return SentMessage(
            chat_id=chat_id,
            message_id=message.message_id,
            file_id=message.photo[-1].file_id if message.photo else None,
            bot_id=self._bot.id,
        )

    async def probe(self) -> None:
        """Return if Telegram answers and knows the token. Raises as `send` does."""
        try:
            await self._bot.get_me(request_timeout=_PROBE_S)
        except (TelegramAPIError, ClientDecodeError) as error:
            raise self._note_token(error_of(error)) from error
        if self.is_revoked:
            log.info("telegram knows the token again")
        self.is_revoked = False

    def _note_token(self, error: ImagegenError) -> ImagegenError:
        if isinstance(error, TokenRevoked) and not self.is_revoked:
            log.error("telegram token revoked: pictures are kept, none is sent", code=error.code)
            self.is_revoked = True
        return error

    async def _send(self, parcel: PhotoMessage, chat_id: int) -> Message:
        file = parcel.file_id or BufferedInputFile(parcel.data, filename=parcel.filename)
        caption = parcel.short_caption
        reply = _reply(parcel.reply_to_message_id)
        if not parcel.fits_a_photo:
            return await self._bot.send_document(
                chat_id,
                file,
                caption=caption,
                reply_parameters=reply,
                message_thread_id=parcel.message_thread_id,
                protect_content=parcel.protect_content or None,
            )
        return await self._bot.send_photo(
            chat_id,
            file,
            caption=caption,
            has_spoiler=parcel.has_spoiler,
            protect_content=parcel.protect_content or None,
            reply_parameters=reply,
            message_thread_id=parcel.message_thread_id,
        )


def error_of(error: TelegramAPIError | ClientDecodeError) -> ImagegenError:
    """Say what an error of a send means for the request; pure."""
    match error:
        case TelegramRetryAfter():
            wait = float(error.retry_after)
            return FloodWait(f"Telegram asks to wait {wait:g} s", retry_after_s=wait)
        case TelegramUnauthorizedError() | TelegramNotFound():
            return TokenRevoked("Telegram does not know the token", retry_after_s=_REVOKED_WAIT_S)
        case TelegramForbiddenError():
            return ChatGone("the bot was blocked or removed", code="bot_blocked")
        case TelegramBadRequest() if any(sign in error.message.lower() for sign in _NOBODY):
            return ChatGone("there is no such chat")
        case TelegramBadRequest() if any(sign in error.message.lower() for sign in _NO_FILE):
            return FileUnknown("Telegram does not know the photo any more")
        case TelegramBadRequest() | TelegramEntityTooLarge():
            return SendRefused(f"Telegram refuses the picture: {error.message}")
        case RestartingTelegram():
            return NotSent("Telegram restarts")
        case TelegramNetworkError() if isinstance(error.__cause__, ClientConnectorError):
            # Refused, unreachable or unresolved: nothing has left this machine.
            return NotSent("Telegram cannot be reached")
        case TelegramNetworkError() | TelegramServerError() | ClientDecodeError():
            return OutcomeUnknown("the connection to Telegram broke during the send")
        case _:
            return SendRefused(f"Telegram refuses the picture: {type(error).__name__}")


def _reply(message_id: int | None) -> ReplyParameters | None:
    if message_id is None:
        return None
    # People delete messages; the picture comes all the same.
    return ReplyParameters(message_id=message_id, allow_sending_without_reply=True)
