"""How the Bot API takes a message: the method, its fields and the files beside them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagegen.delivery.bot_api import InputFile
from imagegen.delivery.message import MessageButton, PhotoMessage

# A phone shows the whole labels of two.
_BUTTONS_IN_A_ROW = 2


@dataclass(frozen=True, kw_only=True)
class MethodCall:
    """The method that sends a picture, and what it is called with."""

    method: str
    fields: Mapping[str, Any]
    files: Mapping[str, InputFile]


def photo_call(photo: PhotoMessage, chat_id: int) -> MethodCall:
    """Return the call that sends a picture or an album to a chat, or puts it in a message's place."""
    files: dict[str, InputFile] = {}
    sources: list[str] = []
    for number, file in enumerate(photo.files):
        if file.file_id:
            sources.append(file.file_id)
        else:
            name = f"file{number}"
            files[name] = InputFile(data=file.data, filename=file.filename)
            sources.append(f"attach://{name}")
    method, fields = _method_and_fields(photo, sources)
    return MethodCall(method=method, fields={"chat_id": chat_id, **fields}, files=files)


def keyboard(buttons: Sequence[MessageButton]) -> Mapping[str, Any] | None:
    """Return the buttons under a message, None if there are none."""
    if not buttons:
        return None
    keys = [{"text": each.label, "callback_data": each.data} for each in buttons]
    rows = [
        keys[first : first + _BUTTONS_IN_A_ROW] for first in range(0, len(keys), _BUTTONS_IN_A_ROW)
    ]
    return {"inline_keyboard": rows}


def reply_parameters(message_id: int | None) -> Mapping[str, Any] | None:
    """Return which message is answered, None if none is."""
    if message_id is None:
        return None
    # If the user has deleted the message that this answers, the picture is sent all the same.
    return {"message_id": message_id, "allow_sending_without_reply": True}


def _method_and_fields(photo: PhotoMessage, sources: Sequence[str]) -> tuple[str, dict[str, Any]]:
    placed = {
        "protect_content": photo.protect_content or None,
        "reply_parameters": reply_parameters(photo.reply_to_message_id),
        "message_thread_id": photo.message_thread_id,
    }
    if photo.album:
        first, *others = sources
        rest = [_media(photo, each, has_caption=False) for each in others]
        return "sendMediaGroup", {"media": [_media(photo, first), *rest], **placed}
    buttons = {"reply_markup": keyboard(photo.buttons)}
    if photo.replaces is not None:
        media = _media(photo, sources[0])
        return "editMessageMedia", {"message_id": photo.replaces, "media": media, **buttons}
    method, name = ("sendDocument", "document") if photo.is_document else ("sendPhoto", "photo")
    return method, {name: sources[0], **_appearance(photo), **buttons, **placed}


def _media(photo: PhotoMessage, source: str, *, has_caption: bool = True) -> dict[str, Any]:
    """Return one file of a message as Telegram takes it in an edit and in an album."""
    media = {
        "type": "document" if photo.is_document else "photo",
        "media": source,
        **_appearance(photo),
    }
    return media if has_caption else {**media, "caption": None}


def _appearance(photo: PhotoMessage) -> dict[str, Any]:
    caption = {"caption": photo.short_caption, "parse_mode": photo.parse_mode}
    if photo.is_document:
        # As a file it stays what it is: Telegram would show a picture as one.
        return {**caption, "disable_content_type_detection": True}
    return {**caption, "has_spoiler": photo.has_spoiler}
