"""The Bot API's error answers, with the status, description and parameters of the real one.

The descriptions are those of tdlib/telegram-bot-api, and of Telegram's servers, which it passes on.
"""

from typing import Any


class ApiError(Exception):
    """A call that is answered with `ok: false`.

    `parameters` may hold retry_after (in seconds) or migrate_to_chat_id.
    """

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        body = {"ok": False, "error_code": self.status, "description": self.description}
        return {**body, "parameters": self.parameters} if self.parameters else body


def bad_request(what: str) -> ApiError:
    return ApiError(400, f"Bad Request: {what}")


def chat_not_found() -> ApiError:
    return bad_request("chat not found")


def blocked() -> ApiError:
    return ApiError(403, "Forbidden: bot was blocked by the user")


def migrated(chat_id: int) -> ApiError:
    what = "Bad Request: group chat was upgraded to a supergroup chat"
    return ApiError(400, what, migrate_to_chat_id=chat_id)


def flood(retry_after_s: int) -> ApiError:
    what = f"Too Many Requests: retry after {retry_after_s}"
    return ApiError(429, what, retry_after=retry_after_s)


def too_large() -> ApiError:
    return ApiError(413, "Request Entity Too Large")


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized")


def not_found() -> ApiError:
    return ApiError(404, "Not Found")


def method_not_found() -> ApiError:
    return ApiError(404, "Not Found: method not found")


def polled_beside_webhook() -> ApiError:
    what = "can't use getUpdates method while webhook is active"
    return _conflict(f"{what}; use deleteWebhook to delete the webhook first")


def poll_ended_by_webhook() -> ApiError:
    return _conflict("terminated by setWebhook request")


def polled_twice() -> ApiError:
    what = "terminated by other getUpdates request"
    return _conflict(f"{what}; make sure that only one bot instance is running")


def _conflict(what: str) -> ApiError:
    return ApiError(409, f"Conflict: {what}")


def unknown_callback_query() -> ApiError:
    return bad_request("query is too old and response timeout expired or query ID is invalid")


def not_modified() -> ApiError:
    return bad_request(
        "message is not modified: specified new message content and reply markup are exactly "
        "the same as a current content and reply markup of the message"
    )


def topic_closed() -> ApiError:
    return bad_request("TOPIC_CLOSED")


def no_rights_to_send_photos() -> ApiError:
    return bad_request("not enough rights to send photos to the chat")


def chat_restricted() -> ApiError:
    return bad_request("CHAT_RESTRICTED")


def image_process_failed() -> ApiError:
    return bad_request("IMAGE_PROCESS_FAILED")


def photo_dimensions() -> ApiError:
    return bad_request("PHOTO_INVALID_DIMENSIONS")
