"""What a refusal of Telegram means. The Bot API has no codes for its refusals, only sentences.

The sentences are those of tdlib/telegram-bot-api (Client.cpp) and of tdlib/td (MessageContent.cpp,
DialogManager.cpp, ForumTopicManager.cpp, FileManager.cpp); the names in capitals are those of
Telegram's servers, which both pass on. Neither list is complete, so a wording that is not found
here is never the end of a picture at once.
"""

from http import HTTPStatus

from imagegen.delivery.bot_api import CallRefused
from imagegen.delivery.errors import (
    AnswerUnknown,
    ChatGone,
    FloodWait,
    PhotoRefused,
    PlaceRefused,
    TokenRevoked,
)
from imagegen.errors import ImagegenError

# How the sentence begins of a refusal that we have no name for. `deliveries` keeps the sentence, so
# such refusals are counted by it.
UNNAMED = "Telegram refuses the picture"
# A wording that we do not know may be an outage of Telegram or of a proxy before it.
_RETRY_S = 20.0
_TOKEN_REVOKED_RETRY_S = 10.0
# In lower case. A server of the Bot API that is older than a method says this; a 404 that does not
# say it is for a token that cannot be one.
_NO_METHOD = "method not found"
# Parts of the sentences, in lower case. The order of the groups matters: "not enough rights to send
# photos" is about the chat and not about the photo.
_CHAT_GONE = (
    "chat not found",
    "user not found",
    "peer_id_invalid",
    "chat_id_invalid",
    "chat_invalid",
    "channel_invalid",
    "user_id_invalid",
    "deactivated",
    "chat was deleted",
)
_BLOCKED = ("blocked", "kicked", "not a member", "can't initiate conversation", "to bots")
_NOT_ALLOWED = (
    "rights",
    "_forbidden",
    "no write access",
    "no access to the chat",
    "chat_restricted",
    "chat_admin_required",
    "user_banned_in_channel",
    "channel_private",
    "user_not_participant",
    "user_privacy_restricted",
    "privacy_premium_required",
    "allow_payment_required",
)
_PLACE = ("topic", "thread", "not a forum", "repl")
_PHOTO = (
    "photo",
    "image_process_failed",
    "media_",
    "file_part",
    "too big",
    "too large",
    "dimensions",
    "file must be non-empty",
    "upload",
    "web page content",
)


def meaning(refused: CallRefused) -> ImagegenError:
    """Return our error for a call that Telegram refuses. Pure. Nothing has arrived."""
    if refused.retry_after_s is not None:
        wait_s = refused.retry_after_s
        return FloodWait(f"Telegram asks to wait {wait_s:g} s", retry_after_s=wait_s)
    if refused.migrate_to_chat_id is not None:
        return refusal(refused.description)
    match refused.status:
        case HTTPStatus.NOT_FOUND if _NO_METHOD in refused.description.lower():
            return refusal(refused.description)
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.NOT_FOUND:
            return TokenRevoked(
                "Telegram does not know the token", retry_after_s=_TOKEN_REVOKED_RETRY_S
            )
        case HTTPStatus.FORBIDDEN:
            problem = refusal(refused.description)
            is_told = isinstance(problem, ChatGone)
            return problem if is_told else ChatGone("the chat is closed", code="bot_blocked")
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return PhotoRefused("Telegram refuses the photo: it is too large")
        case _:
            return refusal(refused.description)


def refusal(description: str) -> ImagegenError:
    """Return our error for a sentence with which Telegram refuses a send. Pure.

    Nothing has arrived. The sentence of the error repeats Telegram's.
    """
    words = description.lower()
    if _has_one_of(words, _BLOCKED):
        return ChatGone("the bot was blocked or removed", code="bot_blocked")
    if _has_one_of(words, _CHAT_GONE):
        return ChatGone("there is no such chat")
    if _has_one_of(words, _PLACE):
        return PlaceRefused(f"Telegram refuses the topic or the reply: {description}")
    if _has_one_of(words, _NOT_ALLOWED):
        return ChatGone(f"the chat takes no pictures of the bot: {description}", code="no_rights")
    if _has_one_of(words, _PHOTO):
        return PhotoRefused(f"Telegram refuses the photo: {description}")
    return AnswerUnknown(f"{UNNAMED}: {description}", retry_after_s=_RETRY_S)


def _has_one_of(words: str, parts: tuple[str, ...]) -> bool:
    return any(part in words for part in parts)
