"""The connection to the Bot API, and what an error of a call means, judged by how far it got."""

from http import HTTPStatus
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.exceptions import (
    ClientDecodeError,
    RestartingTelegram,
    TelegramAPIError,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import TelegramMethod
from aiogram.methods.base import Response, TelegramType
from aiohttp import ClientConnectorError, ConnectionTimeoutError

from chatflow_hook import connection_errors
from imagegen.delivery.errors import (
    ChatGone,
    FloodWait,
    NotSent,
    OutcomeUnknown,
    PhotoRefused,
    TokenRevoked,
)
from imagegen.delivery.telegram_refusals import refusal
from imagegen.errors import ImagegenError

# What a call raises. ValueError and LookupError: the answer is no text in its own encoding.
CALL_ERRORS = (TelegramAPIError, ClientDecodeError, ValueError, LookupError)
# For an answer that has no description; aiogram then has None as its message.
NO_REASON = "without a reason"
_TOKEN_REVOKED_RETRY_S = 10.0
_CLIENT_ERROR = 400
_SERVER_ERROR = 500


class _RefusedOnTheWay(TelegramAPIError):
    """A proxy or a firewall refused the call, so it never came to the Bot API."""


class Session(AiohttpSession):
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
            problem = refusal(error.message or NO_REASON)
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
            return refusal(error.message or NO_REASON)
        case _:
            return OutcomeUnknown("Telegram's answer cannot be read")


def _why_not_reached(error: ClientConnectorError | ConnectionTimeoutError) -> str:
    reason = connection_errors.reason(error) or "cannot be reached"
    if isinstance(error, ClientConnectorError):
        return f"Telegram at {error.host}:{error.port} {reason}"
    return f"Telegram {reason}"


def accepted_message_id(error: Exception) -> int | None:
    """Return the id of a message that was accepted, although aiogram cannot read the answer."""
    return next(iter(accepted_message_ids(error)), None)


def accepted_message_ids(error: Exception) -> tuple[int, ...]:
    """Return the ids of the messages that were accepted, as `accepted_message_id` does for one."""
    match error:
        case ClientDecodeError(data={"ok": True, "result": {"message_id": int(message_id)}}):
            return (message_id,)
        case ClientDecodeError(data={"ok": True, "result": [*messages]}):
            return tuple(each["message_id"] for each in messages if _has_id(each))
        case _:
            return ()


def _has_id(message: Any) -> bool:
    return isinstance(message, dict) and isinstance(message.get("message_id"), int)
