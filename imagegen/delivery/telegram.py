"""Sends a picture to a Telegram chat. This module alone uses aiogram; its errors become ours here."""

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

from chatflow_hook import connection_errors
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

# aiogram writes Response[Message] for each answer. pydantic caches such a type only as long as it
# is referenced, and to build it takes as long as the rest of a send: hence this reference.
_KEPT_RESPONSE_TYPE = Response[Message]

_TOKEN_REVOKED_RETRY_S = 10.0
_PROBE_TIMEOUT_S = 2
# Parts of Telegram's answers to a file id of another bot, to one that is too old, and to one of a
# file that is no photo. Compared in lower case.
_FILE_UNKNOWN_ANSWERS = (
    "wrong file identifier",
    "file_reference",
    "can't use file of type",
    "wrong remote file",
)
_CHAT_UNKNOWN_ANSWERS = (
    "chat not found",
    "user not found",
    "peer_id_invalid",
    "group chat was deactivated",
)


class Telegram:
    """The connection of one bot. Use it with `async with`, which closes it.

    `is_revoked`: Telegram has rejected the token, and nothing can be sent until `probe` succeeds.
    """

    def __init__(self, *, token: str, api_url: str, timeout_s: float) -> None:
        session = AiohttpSession(api=TelegramAPIServer.from_base(api_url), timeout=timeout_s)
        self._bot = Bot(token=token, session=session)
        self.is_revoked = False

    @property
    def bot_id(self) -> int:
        """The id of the bot. The file ids of its messages are valid for this bot only."""
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

    async def send(self, photo: PhotoMessage) -> SentMessage:
        """Send a picture, as a photo if Telegram accepts it as one and else as a document.

        If the group has become a supergroup, the picture is sent to the supergroup.

        Raises:
            NotSent: it certainly did not arrive.
            OutcomeUnknown: it may have arrived.
            FileUnknown: `file_id` is not valid any more; send the bytes.
            FloodWait: Telegram demands a pause.
            TokenRevoked: the token is not valid any more.
            ChatGone: the chat does not exist or does not let the bot in.
            SendRefused: Telegram rejects the message for another reason.
        """
        chat_id = photo.chat_id
        try:
            try:
                message = await self._send(photo, chat_id)
            except TelegramMigrateToChat as moved:
                chat_id = moved.migrate_to_chat_id
                message = await self._send(photo, chat_id)
        except (TelegramAPIError, ClientDecodeError) as error:
            raise self._noting_revoked_token(error_of(error)) from error
        return SentMessage(
            chat_id=chat_id,
            message_id=message.message_id,
            file_id=message.photo[-1].file_id if message.photo else None,
            bot_id=self._bot.id,
        )

    async def probe(self) -> None:
        """Return if Telegram answers and accepts the token; resets `is_revoked`.

        Raises:
            NotSent: Telegram cannot be reached or restarts.
            OutcomeUnknown: the connection broke or Telegram did not answer in time.
            FloodWait: Telegram demands a pause.
            TokenRevoked: the token is not valid any more.
            ChatGone, SendRefused: Telegram answers with another error.
        """
        try:
            await self._bot.get_me(request_timeout=_PROBE_TIMEOUT_S)
        except (TelegramAPIError, ClientDecodeError) as error:
            raise self._noting_revoked_token(error_of(error)) from error
        if self.is_revoked:
            log.info("telegram knows the token again")
        self.is_revoked = False

    def _noting_revoked_token(self, error: ImagegenError) -> ImagegenError:
        if isinstance(error, TokenRevoked) and not self.is_revoked:
            log.error("telegram token revoked: pictures are kept, none is sent", code=error.code)
            self.is_revoked = True
        return error

    async def _send(self, photo: PhotoMessage, chat_id: int) -> Message:
        file = photo.file_id or BufferedInputFile(photo.data, filename=photo.filename)
        caption = photo.short_caption
        reply = _reply_parameters(photo.reply_to_message_id)
        if not photo.fits_a_photo:
            return await self._bot.send_document(
                chat_id,
                file,
                caption=caption,
                reply_parameters=reply,
                message_thread_id=photo.message_thread_id,
                protect_content=photo.protect_content or None,
            )
        return await self._bot.send_photo(
            chat_id,
            file,
            caption=caption,
            has_spoiler=photo.has_spoiler,
            protect_content=photo.protect_content or None,
            reply_parameters=reply,
            message_thread_id=photo.message_thread_id,
        )


def error_of(error: TelegramAPIError | ClientDecodeError) -> ImagegenError:
    """Return our error for an error of aiogram, judged by how far the send got. Pure."""
    match error:
        case TelegramRetryAfter():
            wait_s = float(error.retry_after)
            return FloodWait(f"Telegram asks to wait {wait_s:g} s", retry_after_s=wait_s)
        case TelegramUnauthorizedError() | TelegramNotFound():
            return TokenRevoked(
                "Telegram does not know the token", retry_after_s=_TOKEN_REVOKED_RETRY_S
            )
        case TelegramForbiddenError():
            return ChatGone("the bot was blocked or removed", code="bot_blocked")
        case TelegramBadRequest() if any(
            answer in error.message.lower() for answer in _CHAT_UNKNOWN_ANSWERS
        ):
            return ChatGone("there is no such chat")
        case TelegramBadRequest() if any(
            answer in error.message.lower() for answer in _FILE_UNKNOWN_ANSWERS
        ):
            return FileUnknown("Telegram does not know the photo any more")
        case TelegramBadRequest() | TelegramEntityTooLarge():
            return SendRefused(f"Telegram refuses the picture: {error.message}")
        case RestartingTelegram():
            return NotSent("Telegram restarts")
        case TelegramNetworkError() if isinstance(error.__cause__, ClientConnectorError):
            # Refused, unreachable or not resolved: nothing has left this machine.
            cause = error.__cause__
            reason = connection_errors.reason(cause) or "cannot be reached"
            return NotSent(f"Telegram at {cause.host}:{cause.port} {reason}")
        case TelegramNetworkError() | TelegramServerError() | ClientDecodeError():
            return OutcomeUnknown("the connection to Telegram broke during the send")
        case _:
            return SendRefused(f"Telegram refuses the picture: {type(error).__name__}")


def _reply_parameters(message_id: int | None) -> ReplyParameters | None:
    if message_id is None:
        return None
    # If the user has deleted the message that this answers, the picture is sent all the same.
    return ReplyParameters(message_id=message_id, allow_sending_without_reply=True)
