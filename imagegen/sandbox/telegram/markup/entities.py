"""Entities of a text: what Telegram marks by itself, and what the markup languages share."""

import re
from collections.abc import Iterator
from typing import Any

from imagegen.sandbox.telegram.errors import ApiError, bad_request
from imagegen.sandbox.telegram.message import Entity

_FOUND = re.compile(
    r"""
    (?P<url> \bhttps?://[^\s<>"]*[^\s<>".,;:!?)\]] )
    | (?<![\w/<>]) (?P<bot_command> /[A-Za-z0-9_]{1,64} (?:@\w{3,32})? ) (?![\w/<>])
    | (?<!\w) (?P<mention> @[A-Za-z0-9_]{2,32} ) \b
    | (?<!\w) (?P<hashtag> \#\w*[^\W\d_]\w* )
    """,
    re.VERBOSE,
)


def utf16_length(text: str) -> int:
    """Return the length as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cannot_parse(what: str) -> ApiError:
    return bad_request(f"can't parse entities: {what}")


def find_entities(text: str) -> Iterator[Entity]:
    """Find what Telegram marks by itself: commands, mentions, hashtags and addresses."""
    for found in _FOUND.finditer(text):
        yield {
            "type": str(found.lastgroup),
            "offset": utf16_length(text[: found.start()]),
            "length": utf16_length(found[0]),
        }


def link_entity(url: str, text: str) -> dict[str, Any] | None:
    """Return type and target of a link; None if it leads nowhere, so that it is shown as text."""
    url = url or text
    if user := re.fullmatch(r"tg://user\?id=(\d+)", url):
        person = {"id": int(user[1]), "is_bot": False, "first_name": f"Person {user[1]}"}
        return {"type": "text_mention", "user": person}
    if re.match(r"(?:https?|tg|ton|mailto|tel):\S", url):
        return {"type": "text_link", "url": url}
    if re.fullmatch(r"[^\s:/]+\.[^\s:/.]{2,}(?:/\S*)?", url):
        return {"type": "text_link", "url": f"http://{url}"}
    return None


def time_entity(unix: str, form: str) -> dict[str, Any]:
    """Return type and time of a date that each reader sees in their own zone.

    Raises:
        ApiError: it is no time.
    """
    if not re.fullmatch(r"-?\d{1,18}", unix):
        raise cannot_parse("Invalid date-time specified")
    found: dict[str, Any] = {"type": "date_time", "unix_time": int(unix)}
    return {**found, "date_time_format": form} if form else found


def emoji_entity(custom_emoji_id: str) -> dict[str, Any]:
    """Return type and id of a custom emoji.

    Raises:
        ApiError: it is no id.
    """
    if not custom_emoji_id.isdecimal() or not int(custom_emoji_id):
        raise cannot_parse("Invalid custom emoji identifier specified")
    return {"type": "custom_emoji", "custom_emoji_id": custom_emoji_id}
