"""What a person is told who has had the pictures that the limits allow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo

from chatflow_hook.messages import Messages
from chatflow_hook.quota import Limited


@dataclass(frozen=True, kw_only=True)
class LimitedMessage:
    """A text and its entities, as in `bot.send_message(chat_id, m.text, entities=m.entities)`.

    `entities` are of the Bot API: with them Telegram shows a time in the reader's own zone. They
    are empty if the text has the time of the chat already.
    """

    text: str
    entities: tuple[Mapping[str, object], ...]


def limited_message(
    limited: Limited, words: Messages, *, language: str | None, zone: tzinfo | None
) -> LimitedMessage:
    """Return the message that says when the next picture is free; `zone` is that of the chat."""
    sentence = words.text("limited", language=language)
    local = limited.free_at.astimezone(UTC if zone is None else zone)
    if zone is not None:
        return LimitedMessage(text=sentence.replace("{time}", f"{local:%H:%M}"), entities=())
    time = f"{local:%H:%M} UTC"
    before, _, _ = sentence.partition("{time}")
    entity = {
        "type": "date_time",
        # In UTF-16 units.
        "offset": len(before.encode("utf-16-le")) // 2,
        "length": len(time),
        "unix_time": int(limited.free_at.timestamp()),
        "date_time_format": "t",
    }
    if before == sentence:  # an operator's phrase without the time
        return LimitedMessage(text=sentence, entities=())
    return LimitedMessage(text=sentence.replace("{time}", time), entities=(entity,))
