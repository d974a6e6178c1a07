"""What a call sends: its fields and uploads, and what each kind of field means."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from json import JSONDecodeError, dumps, loads
from typing import Any

from aiohttp import web

from imagegen.sandbox.telegram import errors
from imagegen.sandbox.telegram.errors import bad_request, too_large
from imagegen.sandbox.telegram.markup.formatted_text import FormattedText, read_text
from imagegen.sandbox.telegram.message import MESSAGE_LENGTH

_MAX_CAPTION = 1024
_MAX_BYTES_OF_TEXT = 1 << 15
_MAX_CALLBACK_DATA = 64
_MAX_BUTTONS = 100
_BUTTON_KINDS = frozenset(
    {
        "callback_data",
        "callback_game",
        "copy_text",
        "login_url",
        "pay",
        "switch_inline_query",
        "switch_inline_query_chosen_chat",
        "switch_inline_query_current_chat",
        "url",
        "web_app",
    }
)


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

    def json(self, name: str) -> Any:
        """Return a field that holds JSON; None if it is missing or empty.

        Raises:
            ApiError: it is not JSON.
        """
        text = self.fields.get(name)
        if not text:
            return None
        try:
            return loads(text)
        except JSONDecodeError as error:
            raise bad_request(f"can't parse {name} JSON object") from error

    def json_object(self, name: str) -> dict[str, Any]:
        """Return a field that holds a JSON object; empty if it is missing.

        Raises:
            ApiError: it is not JSON.
        """
        found = self.json(name)
        return found if isinstance(found, dict) else {}

    def upload(self, name: str, reference: str) -> Upload | None:
        """Return the file that a field refers to, or the one sent under the field's own name."""
        return self.uploads.get(reference.removeprefix("attach://")) or self.uploads.get(name)


async def read_form(request: web.Request) -> MethodForm:
    """Read a request to its end: a form, a form with files, JSON, or the query alone.

    Raises:
        ApiError: it is larger than Telegram accepts, or it is no JSON object.
    """
    try:
        if request.content_type == "application/json":
            return MethodForm(fields={**request.query, **json_fields(await request.read())})
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


def json_fields(body: bytes) -> dict[str, str]:
    """Return the fields of a JSON object as text, objects and arrays again as JSON.

    Raises:
        ApiError: it is no JSON object.
    """
    try:
        found = loads(body or b"{}")
    except ValueError as error:
        raise bad_request("can't parse JSON object") from error
    if not isinstance(found, dict):
        raise bad_request("object expected")
    return {
        name: value if isinstance(value, str) else dumps(value)
        for name, value in found.items()
        if value is not None
    }


def chat_id(form: MethodForm, name: str = "chat_id") -> int:
    """Return the chat of a call.

    Raises:
        ApiError: there is none, or it is the name of a channel, which the sandbox has not.
    """
    text = form.text(name)
    if not text:
        raise bad_request(f"{name} is empty")
    try:
        return int(text)
    except ValueError as error:
        raise errors.chat_not_found() from error


def message_text(form: MethodForm) -> FormattedText:
    """Return the text of a message.

    Raises:
        ApiError: it is empty or too long, or its markup cannot be read.
    """
    text = draft_text(form)
    if not text.text:
        raise bad_request("message text is empty")
    return text


def draft_text(form: MethodForm) -> FormattedText:
    """Return the text of a draft, which may be empty.

    Raises:
        ApiError: it is too long, or its markup cannot be read.
    """
    raw = form.text("text") or ""
    if len(raw.encode()) > _MAX_BYTES_OF_TEXT:
        raise bad_request("text is too long")
    text = read_text(raw, form.text("parse_mode"), form.text("entities"))
    if text.length > MESSAGE_LENGTH:
        raise bad_request("message is too long")
    return text


def caption(
    text: str | None, parse_mode: str | None, entities: str | None = None
) -> FormattedText | None:
    """Return a caption; None without one.

    Raises:
        ApiError: it is too long, or its markup cannot be read.
    """
    read = read_text(text or "", parse_mode, entities)
    if read.length > _MAX_CAPTION:
        raise bad_request("message caption is too long")
    return read if read.text else None


def form_caption(form: MethodForm) -> FormattedText | None:
    """Return the caption of a call; None without one.

    Raises:
        ApiError: it is too long, or its markup cannot be read.
    """
    return caption(form.text("caption"), form.text("parse_mode"), form.text("caption_entities"))


def reply_markup(form: MethodForm) -> str | None:
    """Return the keyboard of a call as JSON; None without one.

    Raises:
        ApiError: it is no keyboard, or one that Telegram refuses.
    """
    text = form.text("reply_markup")
    if not text:
        return None
    try:
        markup = loads(text)
    except JSONDecodeError as error:
        raise bad_request("can't parse reply keyboard markup JSON object") from error
    if not isinstance(markup, dict):
        raise bad_request("object expected as reply markup")
    _check_buttons(markup.get("inline_keyboard", []))
    return text


def _check_buttons(rows: Any) -> None:
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad_request(
            'field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays'
        )
    buttons = [button for row in rows for button in row]
    if len(buttons) > _MAX_BUTTONS:
        raise bad_request("reply markup is too long")
    for button in buttons:
        if not isinstance(button, dict):
            raise _bad_button("InlineKeyboardButton must be an Object")
        if not isinstance(button.get("text"), str):
            raise _bad_button('Can\'t find field "text"')
        if not _BUTTON_KINDS & {*button}:
            raise _bad_button("Text buttons are unallowed in the inline keyboard")
        if len(str(button.get("callback_data", "")).encode()) > _MAX_CALLBACK_DATA:
            raise bad_request("BUTTON_DATA_INVALID")


def _bad_button(what: str) -> Exception:
    return bad_request(f"can't parse inline keyboard button: {what}")
