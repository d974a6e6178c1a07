"""The Bot API's methods that pictures in chats need, and the form that a call sends."""

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from json import JSONDecodeError, loads
from typing import Any

from aiohttp import web

from imagegen.sandbox.telegram import errors
from imagegen.sandbox.telegram.chats import (
    WRITTEN,
    ChatMessage,
    Chats,
    Kind,
    StoredFile,
    measure_photo,
)
from imagegen.sandbox.telegram.errors import bad_request, too_large

_MAX_CAPTION = 1024


_MAX_TEXT = 4096


@dataclass(frozen=True, kw_only=True)
class Upload:
    """An uploaded file: its name and its bytes."""

    name: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class MethodForm:
    """A call's fields as text, and its uploads by the name that `attach://` refers to."""

    fields: Mapping[str, str] = field(default_factory=dict)
    uploads: Mapping[str, Upload] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        return self.fields.get(name)

    def flag(self, name: str) -> bool:
        return self.fields.get(name, "").lower() in {"true", "1"}

    def number(self, name: str) -> int | None:
        """Return a field as a number; None if it is missing or empty.

        Raises:
            ApiError: it is not a number.
        """
        text = self.fields.get(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError as error:
            raise bad_request(f"field {name!r} must be a Number") from error

    def json_object(self, name: str) -> dict[str, Any]:
        """Return a field that holds a JSON object; empty if it is missing.

        Raises:
            ApiError: it is not JSON.
        """
        try:
            found = loads(self.fields.get(name) or "{}")
        except JSONDecodeError as error:
            raise bad_request(f"can't parse {name} JSON object") from error
        return found if isinstance(found, dict) else {}

    def upload(self, name: str, reference: str) -> Upload | None:
        """Return the file that a field refers to, or the one sent under the field's own name."""
        return self.uploads.get(reference.removeprefix("attach://")) or self.uploads.get(name)


async def read_form(request: web.Request) -> MethodForm:
    """Read a request to its end.

    Raises:
        ApiError: it is larger than Telegram accepts.
    """
    try:
        body = await request.post()
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large() from error
    fields, uploads = dict(request.query), {}
    for name, value in body.items():
        if isinstance(value, web.FileField):
            with value.file as body_part:
                uploads[name] = Upload(name=value.filename, content=body_part.read())
        else:
            fields[name] = value if isinstance(value, str) else bytes(value).decode()
    return MethodForm(fields=fields, uploads=uploads)


class Methods:
    """Answers calls from the state of the chats."""

    def __init__(self, chats: Chats, *, bot_id: int) -> None:
        self._chats = chats
        self._bot = {
            "id": bot_id,
            "is_bot": True,
            "first_name": "Sandbox",
            "username": "sandboxbot",
        }
        self._by_name: dict[str, Callable[[MethodForm], Any]] = {
            "getme": lambda _: self._bot,
            "sendmessage": self._send_message,
            "sendphoto": lambda form: self._send_media("photo", form),
            "senddocument": lambda form: self._send_media("document", form),
            "sendchataction": self._send_chat_action,
            "editmessagetext": self._edit_text,
            "editmessagemedia": self._edit_media,
            "deletemessage": self._delete,
        }

    def answer(self, method: str, form: MethodForm) -> Any:
        """Return the call's result as JSON values; method names match in any case.

        Raises:
            ApiError: Telegram would refuse the call.
        """
        found = self._by_name.get(method.lower())
        if found is None:
            raise errors.unknown_method()
        return found(form)

    def _send_message(self, form: MethodForm) -> dict[str, Any]:
        message = self._new("sendMessage", form)
        return self._put(replace(message, text=_text(form)))

    def _send_media(self, kind: Kind, form: MethodForm) -> dict[str, Any]:
        message = self._new(f"send{kind.capitalize()}", form)
        caption = _caption(form.text("caption"), form.text("parse_mode"))
        stored = self._file(kind, form, field=kind, reference=form.text(kind) or "")
        shown = _with_file(message, stored)
        return self._put(replace(shown, caption=caption, has_spoiler=form.flag("has_spoiler")))

    def _send_chat_action(self, form: MethodForm) -> bool:
        self._chats.check(_chat_id(form))
        if not form.text("action"):
            raise bad_request("wrong parameter action in request")
        return True

    def _edit_text(self, form: MethodForm) -> dict[str, Any]:
        old = self._existing(form, "edit")
        if old.text is None:
            raise bad_request("there is no text in the message to edit")
        new = replace(old, method="editMessageText", text=_text(form))
        return self._edit(old, new, form)

    def _edit_media(self, form: MethodForm) -> dict[str, Any]:
        old, media = self._existing(form, "edit"), form.json_object("media")
        kind: Kind = "document" if media.get("type") == "document" else "photo"
        reference = str(media.get("media", ""))
        stored = self._file(kind, form, field="media", reference=reference)
        new = replace(
            _with_file(old, stored),
            method="editMessageMedia",
            caption=_caption(media.get("caption"), media.get("parse_mode")),
            has_spoiler=bool(media.get("has_spoiler")),
        )
        return self._edit(old, new, form)

    def _delete(self, form: MethodForm) -> bool:
        message = self._existing(form, "delete")
        del self._chats.current[message.chat_id][message.message_id]
        return True

    def _edit(self, old: ChatMessage, new: ChatMessage, form: MethodForm) -> dict[str, Any]:
        # An edit without reply_markup removes the old one.
        new = replace(new, reply_markup=form.text("reply_markup"))
        if new.shows_the_same_as(old):
            raise errors.not_modified()
        return self._put(replace(new, when=datetime.now(UTC)))

    def _new(self, method: str, form: MethodForm) -> ChatMessage:
        chat_id = _chat_id(form)
        self._chats.check(chat_id)
        self._chats.check_topic(chat_id, form.number("message_thread_id"))
        return ChatMessage(
            method=method,
            chat_id=chat_id,
            # Set when it is stored, so that refused messages leave no gap in the numbers.
            message_id=0,
            when=datetime.now(UTC),
            reply_to_message_id=self._replied(chat_id, form),
            message_thread_id=form.number("message_thread_id"),
            protect_content=form.flag("protect_content"),
            reply_markup=form.text("reply_markup"),
        )

    def _put(self, message: ChatMessage) -> dict[str, Any]:
        message = replace(message, message_id=message.message_id or self._chats.next_id())
        self._chats.put(message)
        return self._chats.described(message, self._bot)

    def _replied(self, chat_id: int, form: MethodForm) -> int | None:
        reply_parameters = form.json_object("reply_parameters")
        message_id = reply_parameters.get("message_id", form.number("reply_to_message_id"))
        if message_id is None or self._chats.has(chat_id, int(message_id)):
            return message_id
        if reply_parameters.get("allow_sending_without_reply") or form.flag(
            "allow_sending_without_reply"
        ):
            return None
        raise bad_request("message to be replied not found")

    def _existing(self, form: MethodForm, purpose: str) -> ChatMessage:
        chat_id = _chat_id(form)
        self._chats.check(chat_id)
        message = self._chats.current[chat_id].get(form.number("message_id") or 0)
        if message is None:
            raise bad_request(f"message to {purpose} not found")
        if message.method == WRITTEN:
            raise bad_request(f"message can't be {purpose.removesuffix('e')}ed")
        return message

    def _file(self, kind: Kind, form: MethodForm, *, field: str, reference: str) -> StoredFile:
        upload = form.upload(field, reference)
        if upload is not None:
            size = measure_photo(upload.content) if kind == "photo" else (0, 0)
            return self._chats.keep(kind, upload.name, upload.content, size)
        if not reference:
            raise bad_request(f"there is no {kind} in the request")
        stored = self._chats.files.get(reference)
        if stored is None:
            raise bad_request("wrong file identifier/HTTP URL specified")
        if stored.kind != kind:
            was, wanted = stored.kind.capitalize(), kind.capitalize()
            raise bad_request(f"can't use file of type {was} as {wanted}")
        return stored


def _chat_id(form: MethodForm) -> int:
    text = form.text("chat_id")
    if not text:
        raise bad_request("chat_id is empty")
    try:
        return int(text)
    except ValueError as error:
        # The @name of a public channel; the sandbox has no channels.
        raise errors.chat_not_found() from error


def _text(form: MethodForm) -> str:
    text = form.text("text")
    if not text or not text.strip():
        raise bad_request("message text is empty")
    if _length(text, form.text("parse_mode")) > _MAX_TEXT:
        raise bad_request("message is too long")
    return text


def _caption(caption: str | None, parse_mode: str | None) -> str | None:
    if caption and _length(caption, parse_mode) > _MAX_CAPTION:
        raise bad_request("message caption is too long")
    return caption or None


def _length(text: str, parse_mode: str | None) -> int:
    """Count UTF-16 code units after the markup is parsed, as Telegram does."""
    if parse_mode == "HTML":
        text = html.unescape(re.sub(r"<[^>]*>", "", text))
    return len(text.encode("utf-16-le")) // 2


def _with_file(message: ChatMessage, stored: StoredFile) -> ChatMessage:
    is_photo = stored.kind == "photo"
    return replace(
        message,
        text=None,
        photo=stored.content if is_photo else None,
        document=None if is_photo else stored.content,
        file_id=stored.file_id,
    )
