"""Sends a picture to a Telegram chat. This module alone uses aiogram; its errors become ours here."""

from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

import structlog
from aiogram import Bot
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramBadRequest, TelegramMigrateToChat
from aiogram.methods.base import Response
from aiogram.types import (
    BufferedInputFile,
    EphemeralMessageParameters,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaDocument,
    InputMediaPhoto,
    Message,
    ReplyParameters,
)
from aiohttp import ClientTimeout

from imagegen.delivery.errors import (
    AnswerUnknown,
    ChatGone,
    DraftRefused,
    FileUnknown,
    MessageGone,
    PhotoRefused,
    TokenRevoked,
)
from imagegen.delivery.message import (
    MessageButton,
    PhotoFile,
    PhotoMessage,
    SentMessage,
    TextMessage,
)
from imagegen.delivery.telegram_session import (
    CALL_ERRORS,
    NO_REASON,
    Session,
    accepted_message_id,
    accepted_message_ids,
    error_of,
)
from imagegen.errors import ImagegenError

# Only changes, see imagegen/log_repeats.py.
log = structlog.get_logger(f"{__name__}.changes")

# aiogram writes these types for its answers. pydantic caches such a type only as long as it is
# referenced, and to build one takes as long as the rest of a send: hence these references.
_KEPT_RESPONSE_TYPES = (
    Response[Message],
    Response[Message | bool],
    Response[bool],
    Response[list[Message]],
)

_PROBE_TIMEOUT_S = 2
# What is told while a picture is made is told anew a few seconds later.
_STATUS_TIMEOUT_S = 5
# How long a connection may take to come about, with its wait for a free one, DNS and TLS. It ends
# before the whole call does, or nobody could say whether anything was sent.
_MAX_CONNECT_S = 10.0
_MAX_CONNECT_SHARE = 0.5
# A phone shows the whole labels of two.
_BUTTONS_IN_A_ROW = 2
_NOT_MODIFIED = "message is not modified"
# Parts of the refusals of an edit whose message is not there, or is none that can be edited.
_GONE = ("not found", "can't be edited", "message_id_invalid", "no text in the message to edit")


class Telegram:
    """The connection of one bot. Use it with `async with`, which closes it.

    `is_revoked`: Telegram has rejected the token, and nothing can be sent until `probe` succeeds.
    """

    def __init__(self, *, token: str, api_url: str, timeout_s: float) -> None:
        connect_s = min(_MAX_CONNECT_S, _MAX_CONNECT_SHARE * timeout_s)
        session = Session(
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
            except TelegramMigrateToChat as moved:
                # Only groups move: a private picture goes nowhere else. A message that is to be
                # replaced has stayed in the old chat.
                if chat_id > 0 or photo.replaces is not None:
                    raise
                chat_id = moved.migrate_to_chat_id
                messages = await self._send(photo, chat_id)
        except CALL_ERRORS as error:
            message_ids = accepted_message_ids(error) or _unchanged_message_ids(error, photo)
            if not message_ids:
                raise self._send_error(error, photo) from error
            file_ids: list[str] = []
        else:
            message_ids = tuple(message.message_id for message in messages)
            file_ids = [message.photo[-1].file_id for message in messages if message.photo]
        return SentMessage(
            chat_id=chat_id,
            message_id=message_ids[0],
            file_id=file_ids[0] if file_ids else None,
            bot_id=self._bot.id,
            album_message_ids=message_ids[1:],
            album_file_ids=tuple(file_ids[1:]),
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
            return "not found" in (error.message or NO_REASON).lower()
        except CALL_ERRORS as error:
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
            return "not modified" in (error.message or NO_REASON).lower()
        except CALL_ERRORS as error:
            problem = self._noting_revoked_token(error_of(error))
            if isinstance(problem, ChatGone):
                return False
            raise problem from error
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
        try:
            message = await self._bot.send_message(
                text.chat_id,
                text.text,
                message_thread_id=text.message_thread_id,
                protect_content=text.protect_content or None,
                reply_parameters=_reply_parameters(text.reply_to_message_id),
                reply_markup=_keyboard(text.buttons),
                ephemeral_message_parameters=None
                if receiver is None
                else EphemeralMessageParameters(receiver_user_id=receiver),
                request_timeout=_STATUS_TIMEOUT_S,
            )
        except CALL_ERRORS as error:
            if (message_id := accepted_message_id(error)) is not None:
                return message_id
            raise self._noting_revoked_token(error_of(error)) from error
        return message.message_id

    async def edit_text(self, text: TextMessage, message_id: int) -> None:
        """Replace the text and the button of a message of the bot.

        Raises:
            MessageGone: it is not there any more, or shows a photo.
            NotSent, OutcomeUnknown, FloodWait, TokenRevoked, AnswerUnknown, ChatGone: not now.
        """
        try:
            await self._bot.edit_message_text(
                text.text,
                chat_id=text.chat_id,
                message_id=message_id,
                reply_markup=_keyboard(text.buttons),
                request_timeout=_STATUS_TIMEOUT_S,
            )
        except CALL_ERRORS as error:
            self._raise_edit_error(error)

    async def show_preview(self, text: TextMessage, message_id: int, image: bytes) -> None:
        """Let a message of the bot show an image, with the text as its caption.

        Raises:
            MessageGone: it is not there any more.
            NotSent, OutcomeUnknown, FloodWait, TokenRevoked, AnswerUnknown, ChatGone,
            PhotoRefused: not now.
        """
        file = BufferedInputFile(image, filename="preview.jpeg")
        try:
            await self._bot.edit_message_media(
                InputMediaPhoto(media=file, caption=text.text),
                chat_id=text.chat_id,
                message_id=message_id,
                reply_markup=_keyboard(text.buttons),
                request_timeout=_STATUS_TIMEOUT_S,
            )
        except CALL_ERRORS as error:
            self._raise_edit_error(error)

    async def show_upload(self, chat_id: int, message_thread_id: int | None) -> None:
        """Show for 5 s, or until the next message, that the bot sends a photo.

        Raises:
            NotSent, OutcomeUnknown, FloodWait, TokenRevoked, AnswerUnknown, PlaceRefused,
            ChatGone: it is not shown.
        """
        try:
            await self._bot.send_chat_action(
                chat_id,
                "upload_photo",
                message_thread_id=message_thread_id,
                request_timeout=_STATUS_TIMEOUT_S,
            )
        except CALL_ERRORS as error:
            raise self._noting_revoked_token(error_of(error)) from error

    async def show_draft(self, text: TextMessage, draft_id: int) -> None:
        """Show a text as one that is still written, with a Stop button; it is gone after 30 s.

        Raises:
            DraftRefused: this chat takes no drafts.
            NotSent, OutcomeUnknown, FloodWait, TokenRevoked, ChatGone: not now.
        """
        try:
            await self._bot.send_message_draft(
                text.chat_id,
                draft_id,
                message_thread_id=text.message_thread_id,
                text=text.text,
                can_stop=True,
                request_timeout=_STATUS_TIMEOUT_S,
            )
        except TelegramBadRequest as error:
            raise DraftRefused(f"the chat takes no draft: {error.message or NO_REASON}") from error
        except CALL_ERRORS as error:
            raise self._noting_revoked_token(error_of(error)) from error

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
            bot = await self._bot.get_me(request_timeout=_PROBE_TIMEOUT_S)
        except CALL_ERRORS as error:
            raise self._noting_revoked_token(error_of(error)) from error
        if self.is_revoked:
            log.info("telegram knows the token again")
        self.is_revoked = False
        return bot.username or bot.first_name

    def _noting_revoked_token(self, error: ImagegenError) -> ImagegenError:
        if isinstance(error, TokenRevoked) and not self.is_revoked:
            log.error("telegram token revoked: pictures are kept, none is sent", code=error.code)
            self.is_revoked = True
        return error

    def _raise_edit_error(self, error: Exception) -> None:
        """Raise our error for that of an edit; return if the message shows it already."""
        if _is_bad_request(error, _NOT_MODIFIED) or accepted_message_id(error) is not None:
            return
        if _is_bad_request(error, *_GONE):
            raise MessageGone("the message to edit is not there any more") from error
        raise self._noting_revoked_token(error_of(error)) from error

    def _send_error(self, error: Exception, photo: PhotoMessage) -> ImagegenError:
        if photo.replaces is not None and (
            isinstance(error, TelegramMigrateToChat) or _is_bad_request(error, *_GONE)
        ):
            return MessageGone("the message that the picture replaces is not there any more")
        problem = self._noting_revoked_token(error_of(error))
        if photo.file_id is not None and isinstance(problem, PhotoRefused | AnswerUnknown):
            # In whatever wording: a file id of another bot, of another type, or one that is too old.
            return FileUnknown(f"Telegram does not send the photo again: {problem.sentence}")
        return problem

    async def _send(self, photo: PhotoMessage, chat_id: int) -> Sequence[Message]:
        """Send it; once more without markup if Telegram cannot read that of its caption."""
        try:
            return await self._send_once(photo, chat_id)
        except TelegramBadRequest as error:
            if photo.parse_mode is None or "parse entities" not in (error.message or ""):
                raise
            return await self._send_once(replace(photo, parse_mode=None), chat_id)

    async def _send_once(self, photo: PhotoMessage, chat_id: int) -> Sequence[Message]:
        if photo.album:
            return await self._send_album(photo, chat_id)
        if photo.replaces is not None:
            return [await self._replace(photo, chat_id, photo.replaces)]
        return [await self._send_single(photo, chat_id)]

    async def _send_album(self, photo: PhotoMessage, chat_id: int) -> Sequence[Message]:
        return await self._bot.send_media_group(
            chat_id,
            [
                _input_media(photo, each, caption=photo.short_caption if each is photo else None)
                for each in photo.files
            ],
            protect_content=photo.protect_content or None,
            reply_parameters=_reply_parameters(photo.reply_to_message_id),
            message_thread_id=photo.message_thread_id,
        )

    async def _send_single(self, photo: PhotoMessage, chat_id: int) -> Message:
        file = _input_file(photo)
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

    async def _replace(self, photo: PhotoMessage, chat_id: int, message_id: int) -> Message:
        edited = await self._bot.edit_message_media(
            _input_media(photo, photo, caption=photo.short_caption),
            chat_id=chat_id,
            message_id=message_id,
            reply_markup=_keyboard(photo.buttons),
        )
        if isinstance(edited, bool):  # only for inline messages, says the Bot API
            raise ValueError("no message in the answer")  # noqa: TRY004 (Telegram's, not a caller's)
        return edited


def _input_file(file: PhotoFile) -> BufferedInputFile | str:
    return file.file_id or BufferedInputFile(file.data, filename=file.filename)


def _input_media(
    photo: PhotoMessage, file: PhotoFile, *, caption: str | None
) -> InputMediaDocument | InputMediaPhoto:
    """Return one file of a message as Telegram takes it in an edit and in an album."""
    if photo.is_document:
        return InputMediaDocument(
            media=_input_file(file),
            caption=caption,
            parse_mode=photo.parse_mode,
            disable_content_type_detection=True,
        )
    return InputMediaPhoto(
        media=_input_file(file),
        caption=caption,
        parse_mode=photo.parse_mode,
        has_spoiler=photo.has_spoiler,
    )


def _unchanged_message_ids(error: Exception, photo: PhotoMessage) -> tuple[int, ...]:
    """Return the id of the message that shows the picture already, alone; empty if none does."""
    if photo.replaces is None or not _is_bad_request(error, _NOT_MODIFIED):
        return ()
    return (photo.replaces,)


def _is_bad_request(error: Exception, *parts: str) -> bool:
    if not isinstance(error, TelegramBadRequest):
        return False
    words = (error.message or NO_REASON).lower()
    return any(part in words for part in parts)


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
