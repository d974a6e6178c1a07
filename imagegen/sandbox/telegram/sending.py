"""Methods that put something new into a chat: messages, photos, albums, drafts, copies."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from imagegen.sandbox.telegram import errors, form
from imagegen.sandbox.telegram.chats import Chats, Draft
from imagegen.sandbox.telegram.errors import bad_request
from imagegen.sandbox.telegram.files import Kind, StoredFile, measure_photo
from imagegen.sandbox.telegram.form import MethodForm
from imagegen.sandbox.telegram.markup.formatted_text import FormattedText
from imagegen.sandbox.telegram.message import ChatMessage
from imagegen.sandbox.telegram.person import CallbackQueries

_MAX_ALBUM = 10

# So long after a press or a command a bot that is no administrator may answer one member alone.
_EPHEMERAL_WINDOW = timedelta(seconds=15)

_CHAT_ACTIONS = frozenset(
    {
        "choose_sticker",
        "find_location",
        "record_audio",
        "record_video",
        "record_video_note",
        "record_voice",
        "typing",
        "upload_audio",
        "upload_document",
        "upload_photo",
        "upload_video",
        "upload_video_note",
        "upload_voice",
    }
)


class Sending:
    """Each method takes the form of a call, and returns its result as JSON values."""

    def __init__(self, chats: Chats, callbacks: CallbackQueries) -> None:
        self._chats = chats
        self._callbacks = callbacks

    def message(self, call: MethodForm) -> dict[str, Any]:
        """Answer sendMessage.

        Raises:
            ApiError: Telegram would refuse it.
        """
        message = self._new("sendMessage", call)
        return self._send(with_text(message, form.message_text(call)))

    def media(self, kind: Kind, call: MethodForm) -> dict[str, Any]:
        """Answer sendPhoto or sendDocument.

        Raises:
            ApiError: Telegram would refuse it.
        """
        message = self._new(f"send{kind.capitalize()}", call)
        caption = form.form_caption(call)
        stored = stored_file(self._chats, kind, call, field=kind, reference=call.text(kind) or "")
        has_spoiler = kind == "photo" and call.flag("has_spoiler")
        shown = with_caption(with_file(message, stored), caption)
        return self._send(replace(shown, has_spoiler=has_spoiler))

    def media_group(self, call: MethodForm) -> list[dict[str, Any]]:
        """Answer sendMediaGroup: all of its messages arrive, or none.

        Raises:
            ApiError: Telegram would refuse it.
        """
        album = call.json("media")
        if not isinstance(album, list) or not all(isinstance(each, dict) for each in album):
            raise bad_request("expected an Array of InputMedia")
        if not album:
            raise bad_request("there are no messages to send")
        if len(album) > _MAX_ALBUM:
            raise bad_request("too many messages to send as an album")
        if len({each.get("type") for each in album}) > 1:
            raise bad_request("can't use the media of the specified type in the album")
        new = replace(
            self._new("sendMediaGroup", call), media_group_id=str(secrets.randbelow(2**62))
        )
        messages = [input_media(self._chats, new, call, each) for each in album]
        return [self._send(message) for message in messages]

    def copy(self, call: MethodForm) -> dict[str, Any]:
        """Answer copyMessage.

        Raises:
            ApiError: Telegram would refuse it.
        """
        new = self._new("copyMessage", call)
        source = form.chat_id(call, "from_chat_id")
        copied = self._chats.current[source].get(call.number("message_id") or 0)
        if copied is None:
            raise bad_request("message to copy not found")
        if copied.protect_content:
            raise bad_request("message can't be copied")
        shown = replace(
            new,
            text=copied.text,
            caption=copied.caption,
            entities=copied.entities,
            photo=copied.photo,
            document=copied.document,
            file_id=copied.file_id,
            has_spoiler=copied.has_spoiler,
        )
        if call.text("caption") is not None and copied.file_id is not None:
            shown = with_caption(shown, form.form_caption(call))
        return {"message_id": self._chats.add(shown).message_id}

    def draft(self, call: MethodForm) -> bool:
        """Answer sendMessageDraft, which shows a text that is still being written.

        Raises:
            ApiError: Telegram would refuse it, or the chat takes no drafts.
        """
        chat_id, draft_id = form.chat_id(call), call.number("draft_id")
        self._chats.check(chat_id)
        if chat_id < 0 or chat_id in self._chats.without_drafts:
            raise bad_request("TEXTDRAFT_PEER_INVALID")
        if not draft_id:
            raise bad_request("RANDOM_ID_INVALID")
        text = form.draft_text(call)
        self._chats.show_draft(
            Draft(
                chat_id=chat_id,
                draft_id=draft_id,
                text=text.text,
                entities=text.entities,
                message_thread_id=call.number("message_thread_id"),
                can_stop=call.flag("can_stop"),
                keep_on_stop=call.flag("keep_on_stop"),
            )
        )
        return True

    def chat_action(self, call: MethodForm) -> bool:
        """Answer sendChatAction.

        Raises:
            ApiError: Telegram would refuse it.
        """
        chat_id, action = form.chat_id(call), call.text("action")
        if action not in _CHAT_ACTIONS:
            raise bad_request("wrong parameter action in request")
        self._chats.check(chat_id)
        self._chats.show_action(chat_id, action)
        return True

    def _send(self, message: ChatMessage) -> dict[str, Any]:
        return self._chats.described(self._chats.add(message))

    def _new(self, method: str, call: MethodForm) -> ChatMessage:
        chat_id = form.chat_id(call)
        self._chats.check(chat_id)
        self._chats.check_topic(chat_id, call.number("message_thread_id"))
        return ChatMessage(
            method=method,
            chat_id=chat_id,
            # Set when it is stored, so that refused messages leave no gap in the numbers.
            message_id=0,
            when=datetime.now(UTC),
            reply_to_message_id=self._replied(chat_id, call),
            message_thread_id=call.number("message_thread_id"),
            protect_content=call.flag("protect_content"),
            disable_notification=call.flag("disable_notification"),
            reply_markup=form.reply_markup(call),
            receiver_user_id=self._receiver(chat_id, call),
            replaced_message_id=self._replaced(call),
        )

    def _replied(self, chat_id: int, call: MethodForm) -> int | None:
        parameters = call.json_object("reply_parameters")
        message_id = parameters.get("message_id", call.number("reply_to_message_id"))
        if message_id is None or self._chats.has(chat_id, int(message_id)):
            return message_id
        if parameters.get("allow_sending_without_reply") or call.flag(
            "allow_sending_without_reply"
        ):
            return None
        raise bad_request("message to be replied not found")

    def _receiver(self, chat_id: int, call: MethodForm) -> int | None:
        """Return the only member who is to see the message; None for all.

        A bot that is no administrator has to name the press or the ephemeral message that it
        answers, and has 15 seconds for it.
        """
        parameters = call.json_object("ephemeral_message_parameters") or call.fields
        if not parameters.get("receiver_user_id"):
            return None
        receiver = int(parameters["receiver_user_id"])
        if chat_id > 0:
            raise bad_request("PEER_ID_INVALID")
        if chat_id in self._chats.administered:
            return receiver
        asked = self._asked(chat_id, receiver, parameters, call)
        if asked is None:
            raise bad_request("MESSAGE_NOT_COMMAND")
        if datetime.now(UTC) - asked > _EPHEMERAL_WINDOW:
            raise errors.unknown_callback_query()
        return receiver

    def _replaced(self, call: MethodForm) -> int | None:
        """Return the message in whose place the receiver is to see an ephemeral one."""
        parameters = call.json_object("ephemeral_message_parameters")
        if not parameters.get("replace_callback_query_message"):
            return None
        query = self._callbacks.find(str(parameters.get("callback_query_id", "")))
        return None if query is None else query.message.message_id

    def _asked(
        self, chat_id: int, receiver: int, parameters: Mapping[str, Any], call: MethodForm
    ) -> datetime | None:
        """Return when the receiver pressed or wrote what this message answers."""
        query = self._callbacks.find(str(parameters.get("callback_query_id", "")))
        if query is not None and query.user_id == receiver:
            return query.when
        replied = call.json_object("reply_parameters").get("ephemeral_message_id")
        message = self._chats.ephemeral[chat_id].get(replied or 0)
        if message is not None and message.receiver_user_id == receiver:
            return message.when
        return None


def with_text(message: ChatMessage, text: FormattedText) -> ChatMessage:
    """Return the message with another text."""
    return replace(message, text=text.text, entities=text.entities)


def with_caption(message: ChatMessage, caption: FormattedText | None) -> ChatMessage:
    """Return the message with a caption, or with none."""
    if caption is None:
        return replace(message, caption=None, entities=())
    return replace(message, caption=caption.text, entities=caption.entities)


def with_file(message: ChatMessage, stored: StoredFile) -> ChatMessage:
    """Return the message with a file instead of its text or its file."""
    is_photo = stored.kind == "photo"
    return replace(
        message,
        text=None,
        entities=(),
        photo=stored.content if is_photo else None,
        document=None if is_photo else stored.content,
        file_id=stored.file_id,
    )


def input_media(
    chats: Chats, message: ChatMessage, call: MethodForm, media: Mapping[str, Any]
) -> ChatMessage:
    """Return the message with an InputMedia instead of its content.

    Raises:
        ApiError: Telegram would refuse it.
    """
    kind: Kind = "document" if media.get("type") == "document" else "photo"
    reference = str(media.get("media", ""))
    stored = stored_file(chats, kind, call, field="media", reference=reference)
    caption = form.caption(media.get("caption"), media.get("parse_mode"))
    has_spoiler = kind == "photo" and bool(media.get("has_spoiler"))
    return replace(with_caption(with_file(message, stored), caption), has_spoiler=has_spoiler)


def stored_file(
    chats: Chats, kind: Kind, call: MethodForm, *, field: str, reference: str
) -> StoredFile:
    """Return the file that a call uploads, or names by its file id.

    Raises:
        ApiError: there is none, or it is of another kind, or Telegram would refuse it.
    """
    upload = call.upload(field, reference)
    if upload is not None:
        size = measure_photo(upload.content) if kind == "photo" else (0, 0)
        return chats.keep(kind, upload.name, upload.content, size)
    if not reference:
        raise bad_request(f"there is no {kind} in the request")
    stored = chats.files.get(reference)
    if stored is None:
        raise bad_request("wrong file identifier/HTTP URL specified")
    if stored.kind != kind:
        was, wanted = stored.kind.capitalize(), kind.capitalize()
        raise bad_request(f"can't use file of type {was} as {wanted}")
    return stored
