"""What a person is told who has had the pictures that the limits allow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

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


def free_time(limited: Limited, zone: tzinfo | None) -> str:
    """Return when the next picture is free, as `16:10` in the chat's zone, else as `13:10 UTC`."""
    if zone is None:
        return f"{_free_minute(limited).astimezone(UTC):%H:%M} UTC"
    return f"{_free_minute(limited).astimezone(zone):%H:%M}"


def limited_notice(
    limited: Limited, words: Messages, *, language: str | None, zone: tzinfo | None
) -> str:
    """Return the answer to a press that the limits do not allow; it has no entities."""
    sentence = words.text("button_limited", language=language)
    # An operator's sentence may say itself that the time is in UTC, as ours once did.
    sentence = sentence.replace("{time} UTC", "{time}")
    return sentence.replace("{time}", free_time(limited, zone))


def limited_message(
    limited: Limited, words: Messages, *, language: str | None, zone: tzinfo | None
) -> LimitedMessage:
    """Return the message that says when the next picture is free; `zone` is that of the chat."""
    sentence = words.text("limited", language=language)
    time = free_time(limited, zone)
    if zone is not None:
        return LimitedMessage(text=sentence.replace("{time}", time), entities=())
    before, _, _ = sentence.partition("{time}")
    entity = {
        "type": "date_time",
        # In UTF-16 units.
        "offset": len(before.encode("utf-16-le")) // 2,
        "length": len(time),
        "unix_time": int(_free_minute(limited).timestamp()),
        "date_time_format": "t",
    }
    if before == sentence:  # an operator's phrase without the time
        return LimitedMessage(text=sentence, entities=())
    return LimitedMessage(text=sentence.replace("{time}", time), entities=(entity,))


def _free_minute(limited: Limited) -> datetime:
    """Return the first full minute in which the next picture is free: a time is told in minutes."""
    minute = limited.free_at.replace(second=0, microsecond=0)
    return minute if minute == limited.free_at else minute + timedelta(minutes=1)
