"""What a refusal of Telegram means, in the wordings that it has."""

import logging

import pytest

from imagegen.delivery.bot_api import CallRefused
from imagegen.delivery.errors import (
    AnswerUnknown,
    ChatGone,
    PhotoRefused,
    PlaceRefused,
    TokenRevoked,
)
from imagegen.delivery.telegram_refusals import meaning, refusal

# The wordings are those of tdlib/telegram-bot-api and tdlib/td, and of public issues of clients.
GONE = (
    "Bad Request: chat not found",
    "Bad Request: private chat not found",
    "[Error]: Bad Request: user not found",
    "Bad Request: PEER_ID_INVALID",
    "Bad Request: CHAT_ID_INVALID",
    "Bad Request: CHANNEL_INVALID",
    "Bad Request: group chat was deactivated",
    "Bad Request: group is deactivated",
    "Forbidden: user is deactivated",
    "Forbidden: the group chat was deleted",
)
BLOCKED = (
    "Forbidden: bot was blocked by the user",
    "Forbidden: bot was kicked from the supergroup chat",
    "Forbidden: bot is not a member of the channel chat",
    "Forbidden: bot can't initiate conversation with a user",
    "Forbidden: bot can't send messages to bots",
    "Bad Request: USER_IS_BLOCKED",
)
NOT_ALLOWED = (
    "Bad Request: not enough rights to send photos to the chat",
    "Bad Request: not enough rights to send documents to the chat",
    "Bad Request: have no rights to send a message",
    "Bad Request: have no write access to the chat",
    "Bad Request: need administrator rights in the channel chat",
    "Bad Request: CHAT_WRITE_FORBIDDEN",
    "Forbidden: CHAT_WRITE_FORBIDDEN",
    "Bad Request: CHAT_SEND_PHOTOS_FORBIDDEN",
    "Bad Request: CHAT_SEND_MEDIA_FORBIDDEN",
    "Bad Request: CHAT_SEND_DOCS_FORBIDDEN",
    "Bad Request: CHAT_GUEST_SEND_FORBIDDEN",
    "Bad Request: CHAT_RESTRICTED",
    "Bad Request: CHAT_ADMIN_REQUIRED",
    "Bad Request: USER_BANNED_IN_CHANNEL",
    "Bad Request: CHANNEL_PRIVATE",
    "Bad Request: PRIVACY_PREMIUM_REQUIRED",
    "Bad Request: ALLOW_PAYMENT_REQUIRED_50",
)
PLACE = (
    "Bad Request: TOPIC_CLOSED",
    "Bad Request: TOPIC_DELETED",
    "Bad Request: message thread not found",
    "Bad Request: invalid message thread identifier specified",
    "Bad Request: unknown forum topic identifier specified",
    "Bad Request: the chat is not a forum",
    "Bad Request: chat doesn't have topics",
    "Bad Request: can't access the topic",
    "Bad Request: message to be replied not found",
    "Bad Request: reply message not found",
)
PHOTO = (
    "Bad Request: IMAGE_PROCESS_FAILED",
    "Bad Request: PHOTO_INVALID_DIMENSIONS",
    "Bad Request: PHOTO_SAVE_FILE_INVALID",
    "Bad Request: PHOTO_EXT_INVALID",
    "Bad Request: photo has unsupported extension. Use one of .jpg, .jpeg, .gif, .png, .tif or .bmp",
    "Bad Request: MEDIA_EMPTY",
    "Bad Request: FILE_PARTS_INVALID",
    "Bad Request: FILE_PART_0_MISSING",
    "Bad Request: file is too big",
    "Bad Request: file of size 10500000 bytes is too big for a photo; the maximum size is 10485760 bytes",
    "Bad Request: failed to upload file",
    "Request Entity Too Large",
)


@pytest.mark.parametrize("description", GONE)
def test_a_chat_that_is_gone(description: str) -> None:
    assert _is_chat_gone(description, "chat_not_found")


@pytest.mark.parametrize("description", BLOCKED)
def test_a_bot_that_is_not_in_the_chat(description: str) -> None:
    assert _is_chat_gone(description, "bot_blocked")


@pytest.mark.parametrize("description", NOT_ALLOWED)
def test_a_chat_whose_people_allow_the_bot_no_pictures(description: str) -> None:
    assert _is_chat_gone(description, "no_rights")


@pytest.mark.parametrize("description", PLACE)
def test_a_topic_or_a_reply_that_is_refused(description: str) -> None:
    assert isinstance(refusal(description), PlaceRefused)


@pytest.mark.parametrize("description", PHOTO)
def test_a_file_that_is_no_photo_for_telegram(description: str) -> None:
    assert isinstance(refusal(description), PhotoRefused)


@pytest.mark.parametrize("description", ["Bad Request: SOMETHING_NEW", "", "Logged out"])
def test_a_wording_that_nobody_knows_is_no_end(description: str) -> None:
    problem = refusal(description)

    assert isinstance(problem, AnswerUnknown)
    assert problem.retry_after_s is not None


@pytest.mark.parametrize(
    ("status", "description", "error"),
    [
        (401, "Unauthorized", TokenRevoked),
        (404, "Not Found", TokenRevoked),
        (404, "Not Found: method not found", AnswerUnknown),
    ],
)
def test_a_method_that_a_server_does_not_know_says_nothing_of_the_token(
    status: int, description: str, error: type[Exception]
) -> None:
    assert isinstance(meaning(CallRefused(status=status, description=description)), error)


def _is_chat_gone(description: str, code: str) -> bool:
    problem = refusal(description)
    return isinstance(problem, ChatGone) and problem.code == code and problem.level == logging.INFO
