"""Sends a picture to a Telegram chat. This module alone uses aiogram; its errors become ours here."""

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
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
from aiogram.methods import TelegramMethod
from aiogram.methods.base import Response, TelegramType
from aiogram.types import (
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    Message,
    ReplyParameters,
)
from aiohttp import ClientConnectorError, ClientTimeout, ConnectionTimeoutError

from chatflow_hook import connection_errors
from imagegen.delivery.errors import (
    AnswerUnknown,
    ChatGone,
    FileUnknown,
    FloodWait,
    NotSent,
    OutcomeUnknown,
    PhotoRefused,
    TokenRevoked,
)
from imagegen.delivery.message import MessageButton, PhotoMessage, SentMessage
from imagegen.delivery.telegram_refusals import refusal
from imagegen.errors import ImagegenError

# Only changes, see imagegen/log_repeats.py.
log = structlog.get_logger(f"{__name__}.changes")

# aiogram writes Response[Message] for each answer. pydantic caches such a type only as long as it
# is referenced, and to build it takes as long as the rest of a send: hence this reference.
_KEPT_RESPONSE_TYPE = Response[Message]

_TOKEN_REVOKED_RETRY_S = 10.0
_PROBE_TIMEOUT_S = 2
# How long a connection may take to come about, with its wait for a free one, DNS and TLS. It ends
# before the whole call does, or nobody could say whether anything was sent.
_MAX_CONNECT_S = 10.0
_MAX_CONNECT_SHARE = 0.5
_CLIENT_ERROR = 400
_SERVER_ERROR = 500
# A phone shows the whole labels of two.
_BUTTONS_IN_A_ROW = 2
# For an answer that has no description; aiogram then has None as its message.
_NO_REASON = "without a reason"
# What a call raises. ValueError and LookupError: the answer is no text in its own encoding.
_CALL_ERRORS = (TelegramAPIError, ClientDecodeError, ValueError, LookupError)


class Telegram:
    """The connection of one bot. Use it with `async with`, which closes it.

    `is_revoked`: Telegram has rejected the token, and nothing can be sent until `probe` succeeds.
    """

    def __init__(self, *, token: str, api_url: str, timeout_s: float) -> None:
        connect_s = min(_MAX_CONNECT_S, _MAX_CONNECT_SHARE * timeout_s)
        session = _Session(
            api=TelegramAPIServer.from_base(api_url),
            timeout=ClientTimeout(total=timeout_s, connect=connect_s),
        )
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
        """Send a picture. If the group has become a supergroup, it is sent to the supergroup.

        Raises:
            NotSent: it certainly did not arrive; also where a proxy refuses it.
            OutcomeUnknown: it may have arrived.
            FileUnknown: `file_id` is not valid any more; send the bytes.
            PlaceRefused: the topic is closed or gone, or the reply is not possible.
            PhotoRefused: the file is not accepted as it is.
            AnswerUnknown: Telegram refuses it for a reason that we have no name for.
            FloodWait: Telegram demands a pause.
            TokenRevoked: the token is not valid any more.
            ChatGone: the chat does not exist or does not let the bot send pictures.
        """
        chat_id = photo.chat_id
        try:
            try:
                message = await self._send(photo, chat_id)
            except TelegramMigrateToChat as moved:
                if chat_id > 0:  # only groups move: a private picture goes nowhere else
                    raise
                chat_id = moved.migrate_to_chat_id
                message = await self._send(photo, chat_id)
        except _CALL_ERRORS as error:
            message_id = _accepted_message_id(error)
            if message_id is None:
                raise self._send_error(error, photo) from error
            file_id = None
        else:
            message_id = message.message_id
            file_id = message.photo[-1].file_id if message.photo else None
        return SentMessage(
            chat_id=chat_id, message_id=message_id, file_id=file_id, bot_id=self._bot.id
        )

    async def delete(self, chat_id: int, message_id: int) -> bool:
        """Delete a message of the bot for all; return False if Telegram refuses that for good.

        Telegram deletes messages of the last 48 hours. A message that is gone already counts as
        deleted.

        Raises:
            NotSent, OutcomeUnknown, FloodWait, TokenRevoked, AnswerUnknown: try again later.
        """
        try:
            await self._bot.delete_message(chat_id, message_id)
        except TelegramMigrateToChat:
            return False
        except TelegramBadRequest as error:
            return "not found" in (error.message or _NO_REASON).lower()
        except _CALL_ERRORS as error:
            problem = self._noting_revoked_token(error_of(error))
            if isinstance(problem, ChatGone):
                return False
            raise problem from error
        return True

    async def hide(self, chat_id: int, message_id: int, *, photo: bytes, caption: str) -> bool:
        """Put a harmless photo in the place of one that is too old to be deleted.

        Returns False if Telegram refuses that for good: the message is a document, or is gone.

        Raises:
            NotSent, OutcomeUnknown, FloodWait, TokenRevoked, AnswerUnknown: try again later.
        """
        file = BufferedInputFile(photo, filename="hidden.png")
        try:
            await self._bot.edit_message_media(
                InputMediaPhoto(media=file, caption=caption), chat_id=chat_id, message_id=message_id
            )
        except (TelegramMigrateToChat, TelegramBadRequest) as error:
            return "not modified" in (error.message or _NO_REASON).lower()
        except _CALL_ERRORS as error:
            problem = self._noting_revoked_token(error_of(error))
            if isinstance(problem, ChatGone):
                return False
            raise problem from error
        return True

    async def probe(self) -> None:
        """Return if Telegram answers and accepts the token; resets `is_revoked`.

        Raises:
            NotSent: Telegram cannot be reached or restarts, or a proxy refuses the call.
            OutcomeUnknown: the connection broke or Telegram did not answer in time.
            FloodWait: Telegram demands a pause.
            TokenRevoked: the token is not valid any more.
            AnswerUnknown: Telegram answers with another error.
        """
        try:
            await self._bot.get_me(request_timeout=_PROBE_TIMEOUT_S)
        except _CALL_ERRORS as error:
            raise self._noting_revoked_token(error_of(error)) from error
        if self.is_revoked:
            log.info("telegram knows the token again")
        self.is_revoked = False

    def _noting_revoked_token(self, error: ImagegenError) -> ImagegenError:
        if isinstance(error, TokenRevoked) and not self.is_revoked:
            log.error("telegram token revoked: pictures are kept, none is sent", code=error.code)
            self.is_revoked = True
        return error

    def _send_error(self, error: Exception, photo: PhotoMessage) -> ImagegenError:
        problem = self._noting_revoked_token(error_of(error))
        if photo.file_id is not None and isinstance(problem, PhotoRefused | AnswerUnknown):
            # In whatever wording: a file id of another bot, of another type, or one that is too old.
            return FileUnknown(f"Telegram does not send the photo again: {problem.sentence}")
        return problem

    async def _send(self, photo: PhotoMessage, chat_id: int) -> Message:
        """Send it; once more without markup if Telegram cannot read that of its caption."""
        try:
            return await self._send_once(photo, chat_id)
        except TelegramBadRequest as error:
            if photo.parse_mode is None or "parse entities" not in (error.message or ""):
                raise
            return await self._send_once(replace(photo, parse_mode=None), chat_id)

    async def _send_once(self, photo: PhotoMessage, chat_id: int) -> Message:
        file = photo.file_id or BufferedInputFile(photo.data, filename=photo.filename)
        caption = photo.short_caption
        reply = _reply_parameters(photo.reply_to_message_id)
        if photo.is_document:
            return await self._bot.send_document(
                chat_id,
                file,
                caption=caption,
                parse_mode=photo.parse_mode,
                # As a file it stays what it is: Telegram would show a picture as one.
                disable_content_type_detection=True,
                reply_parameters=reply,
                reply_markup=_keyboard(photo.buttons),
                message_thread_id=photo.message_thread_id,
                protect_content=photo.protect_content or None,
            )
        return await self._bot.send_photo(
            chat_id,
            file,
            caption=caption,
            parse_mode=photo.parse_mode,
            reply_markup=_keyboard(photo.buttons),
            has_spoiler=photo.has_spoiler,
            protect_content=photo.protect_content or None,
            reply_parameters=reply,
            message_thread_id=photo.message_thread_id,
        )


class _RefusedOnTheWay(TelegramAPIError):
    """A proxy or a firewall refused the call, so it never came to the Bot API."""


class _Session(AiohttpSession):
    """aiogram's session, which also judges an answer that is not the Bot API's by its status."""

    def check_response(
        self, bot: Bot, method: TelegramMethod[TelegramType], status_code: int, content: str
    ) -> Response[TelegramType]:
        try:
            return super().check_response(bot, method, status_code, content)
        except (ClientDecodeError, TypeError) as error:  # a proxy's page, or no description
            message = f"an answer {status_code} that is not the Bot API's"
            if status_code >= _SERVER_ERROR:
                raise TelegramServerError(method, message) from error
            if status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                raise TelegramEntityTooLarge(method, message) from error
            if status_code >= _CLIENT_ERROR:
                raise _RefusedOnTheWay(method, message) from error
            raise


def error_of(error: Exception) -> ImagegenError:
    """Return our error for an error of a call, judged by how far the call got. Pure."""
    match error:
        case TelegramRetryAfter():
            wait_s = float(error.retry_after)
            return FloodWait(f"Telegram asks to wait {wait_s:g} s", retry_after_s=wait_s)
        case TelegramUnauthorizedError() | TelegramNotFound():
            return TokenRevoked(
                "Telegram does not know the token", retry_after_s=_TOKEN_REVOKED_RETRY_S
            )
        case TelegramForbiddenError():
            problem = refusal(error.message or _NO_REASON)
            is_told = isinstance(problem, ChatGone)
            return problem if is_told else ChatGone("the chat is closed", code="bot_blocked")
        case _RefusedOnTheWay():
            return NotSent(f"something before Telegram refuses the call: {error.message}")
        case TelegramEntityTooLarge():
            return PhotoRefused("Telegram refuses the photo: it is too large")
        case RestartingTelegram():
            return NotSent("Telegram restarts")
        case TelegramNetworkError() if isinstance(
            error.__cause__, ClientConnectorError | ConnectionTimeoutError
        ):
            # Refused, unreachable, not resolved, or no answer to the connect: nothing was sent.
            return NotSent(_why_not_reached(error.__cause__))
        case TelegramNetworkError() | TelegramServerError():
            return OutcomeUnknown("the connection to Telegram broke during the send")
        case TelegramAPIError():
            return refusal(error.message or _NO_REASON)
        case _:
            return OutcomeUnknown("Telegram's answer cannot be read")


def _why_not_reached(error: ClientConnectorError | ConnectionTimeoutError) -> str:
    reason = connection_errors.reason(error) or "cannot be reached"
    if isinstance(error, ClientConnectorError):
        return f"Telegram at {error.host}:{error.port} {reason}"
    return f"Telegram {reason}"


def _accepted_message_id(error: Exception) -> int | None:
    """Return the id of a message that was accepted, although aiogram cannot read the answer."""
    match error:
        case ClientDecodeError(data={"ok": True, "result": {"message_id": int(message_id)}}):
            return message_id
        case _:
            return None


def _keyboard(buttons: Sequence[MessageButton]) -> InlineKeyboardMarkup | None:
    if not buttons:
        return None
    keys = [InlineKeyboardButton(text=each.label, callback_data=each.data) for each in buttons]
    rows = [
        keys[first : first + _BUTTONS_IN_A_ROW] for first in range(0, len(keys), _BUTTONS_IN_A_ROW)
    ]
    return InlineKeyboardMarkup(inline_keyboard=rows)


def _reply_parameters(message_id: int | None) -> ReplyParameters | None:
    if message_id is None:
        return None
    # If the user has deleted the message that this answers, the picture is sent all the same.
    return ReplyParameters(message_id=message_id, allow_sending_without_reply=True)
