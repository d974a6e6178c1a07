"""Sends a picture to a Telegram chat, and what is told of it."""

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import structlog

from imagegen.delivery.bot_api import BotApiClient, CallRefused, InputFile
from imagegen.delivery.errors import (
    AnswerUnknown,
    ChatGone,
    DraftRefused,
    FileUnknown,
    MessageGone,
    OutcomeUnknown,
    PhotoRefused,
    TokenRevoked,
)
from imagegen.delivery.message import PhotoMessage, SentMessage, TextMessage
from imagegen.delivery.message_fields import keyboard, photo_call, reply_parameters
from imagegen.delivery.telegram_refusals import meaning
from imagegen.errors import ImagegenError

# Only changes, see imagegen/log_repeats.py.
log = structlog.get_logger(f"{__name__}.changes")

_PROBE_TIMEOUT_S = 2
# What is told while a picture is made is told anew a few seconds later.
_STATUS_TIMEOUT_S = 5
_NOT_MODIFIED = "message is not modified"
# Parts of the refusals of an edit whose message is not there, or is none that can be edited.
_GONE = ("not found", "can't be edited", "message_id_invalid", "no text in the message to edit")


class Telegram:
    """The connection of one bot. Use it with `async with`, which closes it.

    `is_revoked`: Telegram has rejected the token, and nothing can be sent until `probe` succeeds.
    """

    def __init__(self, *, token: str, api_url: str, timeout_s: float) -> None:
        self._bot_api = BotApiClient(token=token, api_url=api_url, timeout_s=timeout_s)
        self.is_revoked = False

    @property
    def bot_id(self) -> int:
        """The id of the bot. The file ids of its messages are valid for this bot only."""
        return self._bot_api.bot_id

    async def __aenter__(self) -> Self:
        await self._bot_api.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._bot_api.__aexit__(kind, error, trace)

    async def send(self, photo: PhotoMessage) -> SentMessage:
        """Send a picture or an album. If the group has become a supergroup, it is sent to that.

        With `replaces` it takes the place of that message, which may be done again: a message
        that shows the picture already stays as it is.

        Raises:
            MessageGone: the message that it replaces is not there any more; send a new one.
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
                messages = await self._send(photo, chat_id)
            except CallRefused as moved:
                # Only groups move: a private picture goes nowhere else. A message that is to be
                # replaced has stayed in the old chat.
                if moved.migrate_to_chat_id is None or chat_id > 0 or photo.replaces is not None:
                    raise
                chat_id = moved.migrate_to_chat_id
                messages = await self._send(photo, chat_id)
        except CallRefused as error:
            if photo.replaces is None or not error.is_bad_request(_NOT_MODIFIED):
                raise self._send_error(error, photo) from error
            messages = [{"message_id": photo.replaces}]
        message_ids = [message["message_id"] for message in messages]
        file_ids = [file_id for message in messages if (file_id := _file_id(message))]
        return SentMessage(
            chat_id=chat_id,
            message_id=message_ids[0],
            file_id=file_ids[0] if file_ids else None,
            bot_id=self._bot_api.bot_id,
            album_message_ids=tuple(message_ids[1:]),
            album_file_ids=tuple(file_ids[1:]),
        )

    async def delete(self, chat_id: int, message_id: int) -> bool:
        """Delete a message of the bot for all; return False if Telegram refuses that for good.

        Telegram deletes messages of the last 48 hours. A message that is gone already counts as
        deleted. Takes 5 s at most.

        Raises:
            NotSent, OutcomeUnknown, FloodWait, TokenRevoked, AnswerUnknown: try again later.
        """
        try:
            await self._bot_api.call(
                "deleteMessage",
                {"chat_id": chat_id, "message_id": message_id},
                timeout_s=_STATUS_TIMEOUT_S,
            )
        except CallRefused as error:
            return self._was_done(error, "not found")
        return True

    async def hide(self, chat_id: int, message_id: int, *, photo: bytes, caption: str) -> bool:
        """Put a harmless photo in the place of one that is too old to be deleted.

        Returns False if Telegram refuses that for good: the message is a document, or is gone.

        Raises:
            NotSent, OutcomeUnknown, FloodWait, TokenRevoked, AnswerUnknown: try again later.
        """
        fields = {
            "chat_id": chat_id,
            "message_id": message_id,
            "media": {"type": "photo", "media": "attach://photo", "caption": caption},
        }
        files = {"photo": InputFile(data=photo, filename="hidden.png")}
        try:
            await self._bot_api.call("editMessageMedia", fields, files=files)
        except CallRefused as error:
            return self._was_done(error, "not modified")
        return True

    async def send_text(self, text: TextMessage) -> int:
        """Send a text, and return its message id; 0 for an ephemeral one, which has none.

        Takes 5 s at most, as all methods for texts do.

        Raises:
            NotSent, FloodWait, TokenRevoked, AnswerUnknown, PlaceRefused: it did not arrive.
            OutcomeUnknown: it may have arrived.
            ChatGone: the chat does not exist or does not let the bot write.
        """
        receiver = text.receiver_user_id
        fields = {
            "chat_id": text.chat_id,
            "text": text.text,
            "message_thread_id": text.message_thread_id,
            "protect_content": text.protect_content or None,
            "reply_parameters": reply_parameters(text.reply_to_message_id),
            "reply_markup": keyboard(text.buttons),
            "ephemeral_message_parameters": None
            if receiver is None
            else {"receiver_user_id": receiver},
        }
        try:
            result = await self._bot_api.call("sendMessage", fields, timeout_s=_STATUS_TIMEOUT_S)
        except CallRefused as error:
            raise self._problem(error) from error
        message_id: int = _messages(result)[0]["message_id"]
        return message_id

    async def edit_text(self, text: TextMessage, message_id: int) -> None:
        """Replace the text and the button of a message of the bot.

        Raises:
            MessageGone: it is not there any more, or shows a photo.
            NotSent, OutcomeUnknown, FloodWait, TokenRevoked, AnswerUnknown, ChatGone: not now.
        """
        fields = {
            "chat_id": text.chat_id,
            "message_id": message_id,
            "text": text.text,
            "reply_markup": keyboard(text.buttons),
        }
        try:
            await self._bot_api.call("editMessageText", fields, timeout_s=_STATUS_TIMEOUT_S)
        except CallRefused as error:
            self._raise_edit_error(error)

    async def show_preview(self, text: TextMessage, message_id: int, image: bytes) -> None:
        """Let a message of the bot show an image, with the text as its caption.

        Raises:
            MessageGone: it is not there any more.
            NotSent, OutcomeUnknown, FloodWait, TokenRevoked, AnswerUnknown, ChatGone,
            PhotoRefused: not now.
        """
        fields = {
            "chat_id": text.chat_id,
            "message_id": message_id,
            "media": {"type": "photo", "media": "attach://preview", "caption": text.text},
            "reply_markup": keyboard(text.buttons),
        }
        files = {"preview": InputFile(data=image, filename="preview.jpeg")}
        try:
            await self._bot_api.call(
                "editMessageMedia", fields, files=files, timeout_s=_STATUS_TIMEOUT_S
            )
        except CallRefused as error:
            self._raise_edit_error(error)

    async def show_upload(self, chat_id: int, message_thread_id: int | None) -> None:
        """Show for 5 s, or until the next message, that the bot sends a photo.

        Raises:
            NotSent, OutcomeUnknown, FloodWait, TokenRevoked, AnswerUnknown, PlaceRefused,
            ChatGone: it is not shown.
        """
        fields = {
            "chat_id": chat_id,
            "action": "upload_photo",
            "message_thread_id": message_thread_id,
        }
        try:
            await self._bot_api.call("sendChatAction", fields, timeout_s=_STATUS_TIMEOUT_S)
        except CallRefused as error:
            raise self._problem(error) from error

    async def show_draft(self, text: TextMessage, draft_id: int) -> None:
        """Show a text as one that is still written, with a Stop button; it is gone after 30 s.

        Raises:
            DraftRefused: this chat takes no drafts, or the server of the Bot API knows none.
            NotSent, OutcomeUnknown, FloodWait, TokenRevoked, AnswerUnknown, ChatGone: not now.
        """
        fields = {
            "chat_id": text.chat_id,
            "draft_id": draft_id,
            "message_thread_id": text.message_thread_id,
            "text": text.text,
            "can_stop": True,
        }
        try:
            await self._bot_api.call("sendMessageDraft", fields, timeout_s=_STATUS_TIMEOUT_S)
        except CallRefused as error:
            # 404: a server of the Bot API that is older than drafts. If it is the token that is not
            # found, the message that is sent instead gets the same answer.
            if error.is_bad_request() or error.status == HTTPStatus.NOT_FOUND:
                raise DraftRefused(f"the chat takes no draft: {error.description}") from error
            raise self._problem(error) from error

    async def probe(self) -> str:
        """Return the bot's user name if Telegram answers and accepts the token; resets `is_revoked`.

        Raises:
            NotSent: Telegram cannot be reached or restarts, or a proxy refuses the call.
            OutcomeUnknown: the connection broke or Telegram did not answer in time.
            FloodWait: Telegram demands a pause.
            TokenRevoked: the token is not valid any more.
            AnswerUnknown: Telegram answers with another error.
        """
        try:
            bot = await self._bot_api.call("getMe", {}, timeout_s=_PROBE_TIMEOUT_S)
        except CallRefused as error:
            raise self._problem(error) from error
        name = (bot.get("username") or bot.get("first_name")) if isinstance(bot, dict) else None
        if not isinstance(name, str):
            raise OutcomeUnknown("Telegram's answer cannot be read")
        if self.is_revoked:
            log.info("telegram knows the token again")
        self.is_revoked = False
        return name

    def _problem(self, refused: CallRefused) -> ImagegenError:
        """Return our error for a refusal, and note if it is the token that is refused."""
        problem = meaning(refused)
        if isinstance(problem, TokenRevoked) and not self.is_revoked:
            log.error("telegram token revoked: pictures are kept, none is sent", code=problem.code)
            self.is_revoked = True
        return problem

    def _was_done(self, refused: CallRefused, *parts: str) -> bool:
        """Return whether a change that is refused for good was made before, by a part of the refusal.

        Raises our error for a refusal that is not for good.
        """
        if refused.migrate_to_chat_id is not None:
            return False
        if refused.is_bad_request():
            return refused.is_bad_request(*parts)
        problem = self._problem(refused)
        if isinstance(problem, ChatGone):
            return False
        raise problem from refused

    def _raise_edit_error(self, refused: CallRefused) -> None:
        """Raise our error for that of an edit; return if the message shows it already."""
        if refused.is_bad_request(_NOT_MODIFIED):
            return
        if refused.is_bad_request(*_GONE):
            raise MessageGone("the message to edit is not there any more") from refused
        raise self._problem(refused) from refused

    def _send_error(self, refused: CallRefused, photo: PhotoMessage) -> ImagegenError:
        if photo.replaces is not None and (
            refused.migrate_to_chat_id is not None or refused.is_bad_request(*_GONE)
        ):
            return MessageGone("the message that the picture replaces is not there any more")
        problem = self._problem(refused)
        if photo.file_id is not None and isinstance(problem, PhotoRefused | AnswerUnknown):
            # In whatever wording: a file id of another bot, of another type, or one that is too old.
            return FileUnknown(f"Telegram does not send the photo again: {problem.sentence}")
        return problem

    async def _send(self, photo: PhotoMessage, chat_id: int) -> list[dict[str, Any]]:
        """Send it; once more without markup if Telegram cannot read that of its caption."""
        try:
            return await self._send_once(photo, chat_id)
        except CallRefused as error:
            if photo.parse_mode is None or not error.is_bad_request("parse entities"):
                raise
            return await self._send_once(replace(photo, parse_mode=None), chat_id)

    async def _send_once(self, photo: PhotoMessage, chat_id: int) -> list[dict[str, Any]]:
        call = photo_call(photo, chat_id)
        return _messages(await self._bot_api.call(call.method, call.fields, files=call.files))


def _messages(result: Any) -> list[dict[str, Any]]:
    """Return the messages that Telegram has accepted, as far as they can be read, at least one.

    Raises:
        OutcomeUnknown: there is none with an id.
    """
    answers = result if isinstance(result, list) else [result]
    messages = [
        each
        for each in answers
        if isinstance(each, dict) and isinstance(each.get("message_id"), int)
    ]
    if not messages:
        raise OutcomeUnknown("Telegram's answer cannot be read")
    return messages


def _file_id(message: Mapping[str, Any]) -> str | None:
    """Return the id of the photo in a message, which is its largest form; None if there is none."""
    match message:
        case {"photo": [*_, {"file_id": str(file_id)}]}:
            return file_id
        case _:
            return None
