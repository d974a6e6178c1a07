"""Formatted text: HTML and MarkdownV2 become a plain text with entities, as Telegram reads them.

The error texts are those of TDLib's `parseTextEntities`, which the Bot API passes on. Offsets and
lengths of entities count UTF-16 code units; the offsets in error texts count bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from json import JSONDecodeError, loads

from imagegen.sandbox.telegram.errors import bad_request
from imagegen.sandbox.telegram.markup.entities import find_entities, utf16_length
from imagegen.sandbox.telegram.markup.html import parse_html
from imagegen.sandbox.telegram.markup.markdown import parse_markdown_v2
from imagegen.sandbox.telegram.message import Entity

# Nothing is found within them.
_VERBATIM = frozenset({"code", "pre", "text_link", "text_mention"})


@dataclass(frozen=True, kw_only=True)
class FormattedText:
    """A text without markup, and its entities from the first to the last."""

    text: str
    entities: tuple[Entity, ...] = ()

    @property
    def length(self) -> int:
        """The length as Telegram counts it, in UTF-16 code units."""
        return utf16_length(self.text)


def read_text(text: str, parse_mode: str | None, entities: str | None) -> FormattedText:
    """Return the text of a call without its markup and the white space around it.

    `entities` is a JSON array, which counts without a `parse_mode`.

    Raises:
        ApiError: the markup or the entities cannot be read.
    """
    plain, found = _parser(parse_mode)(text)
    if not (parse_mode or "").strip() and entities:
        found = _given_entities(entities)
    start = len(plain) - len(plain.lstrip())
    stripped = plain.strip()
    shift, end = utf16_length(plain[:start]), utf16_length(stripped)
    shown = [clipped for each in found if (clipped := _clipped(each, shift, end))]
    shown += [
        each for each in find_entities(stripped) if not any(_hides(other, each) for other in shown)
    ]
    return FormattedText(text=stripped, entities=tuple(sorted(shown, key=_position)))


def _parser(parse_mode: str | None) -> Callable[[str], tuple[str, Sequence[Entity]]]:
    match (parse_mode or "").strip().lower():
        case "":
            return lambda text: (text.replace("\r", ""), [])
        case "html":
            return parse_html
        case "markdownv2":
            return parse_markdown_v2
        case "markdown":
            raise bad_request("unsupported parse_mode: the sandbox has HTML and MarkdownV2")
        case _:
            raise bad_request("unsupported parse_mode")


def _given_entities(text: str) -> list[Entity]:
    try:
        entities = loads(text)
    except JSONDecodeError as error:
        raise bad_request("can't parse entities JSON object") from error
    if not isinstance(entities, list):
        return []
    return [each for each in entities if isinstance(each, dict) and {"offset", "length"} <= {*each}]


def _clipped(entity: Entity, shift: int, end: int) -> Entity | None:
    """Move an entity by the white space that was stripped; None if nothing is left of it."""
    first = max(entity["offset"] - shift, 0)
    last = min(entity["offset"] - shift + entity["length"], end)
    return {**entity, "offset": first, "length": last - first} if last > first else None


def _hides(outer: Entity, found: Entity) -> bool:
    is_apart = (
        found["offset"] >= outer["offset"] + outer["length"]
        or found["offset"] + found["length"] <= outer["offset"]
    )
    return outer["type"] in _VERBATIM and not is_apart


def _position(entity: Entity) -> tuple[int, int]:
    return entity["offset"], -entity["length"]
