"""HTML of the Bot API: its tags become entities.

The error texts are those of TDLib's `parseTextEntities`; their offsets count bytes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.sandbox.telegram.markup.entities import (
    cannot_parse,
    emoji_entity,
    link_entity,
    time_entity,
    utf16_length,
)
from imagegen.sandbox.telegram.message import Entity

_SIMPLE = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
}
_TAGS = frozenset({*_SIMPLE, "a", "code", "pre", "blockquote", "tg-emoji", "tg-time"})
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}

_REFERENCE = re.compile(r"&(?:#x(?P<hex>[0-9a-fA-F]{1,6})|#(?P<dec>\d{1,7})|(?P<name>[A-Za-z]+));?")
_END_TAG = re.compile(r"</([^\s>]*)\s*")
_START_TAG = re.compile(r"<([^\s>]*)")
_ATTRIBUTE = re.compile(r"([^\s=>]*)\s*")
_VALUE = re.compile(
    r"""=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?!["'])(?P<bare>[\w.-]*))"""
)


@dataclass(frozen=True, kw_only=True)
class _OpenTag:
    name: str
    attributes: Mapping[str, str]
    offset: int
    first_character: int


def parse_html(text: str) -> tuple[str, list[Entity]]:
    """Return the text without tags, and its entities.

    Raises:
        ApiError: the markup is wrong.
    """
    return _HtmlParser(text).parse()


class _HtmlParser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._plain = ""
        self._entities: list[dict[str, Any]] = []
        self._open: list[_OpenTag] = []

    def parse(self) -> tuple[str, list[Entity]]:
        position = 0
        while position < len(self._text):
            if self._text.startswith("</", position):
                position = self._end_tag(position)
            elif self._text[position] == "<":
                position = self._start_tag(position)
            elif (found := _reference(self._text, position)) is not None:
                character, position = found
                self._plain += character
            else:
                # Telegram drops carriage returns.
                self._plain += self._text[position].replace("\r", "")
                position += 1
        if self._open:
            name = self._open[-1].name
            raise cannot_parse(f'Can\'t find end tag corresponding to start tag "{name}"')
        return self._plain, list(self._entities)

    def _start_tag(self, start: int) -> int:
        found = _START_TAG.match(self._text, start)
        if found is None or found.end() == len(self._text):
            raise cannot_parse(f"Unclosed start tag at byte offset {self._byte(start)}")
        name = found[1].lower()
        if name not in _TAGS:
            raise cannot_parse(f'Unsupported start tag "{name}" at byte offset {self._byte(start)}')
        attributes, end = self._attributes(name, start, found.end())
        if name == "span" and attributes.get("class") != "tg-spoiler":
            raise cannot_parse(
                f'Tag "span" must have class "tg-spoiler" at byte offset {self._byte(start)}'
            )
        self._open.append(
            _OpenTag(
                name=name,
                attributes=attributes,
                offset=utf16_length(self._plain),
                first_character=len(self._plain),
            )
        )
        return end

    def _attributes(self, tag: str, start: int, position: int) -> tuple[dict[str, str], int]:
        """Read up to the `>`; returns the attributes and the position after it."""
        attributes: dict[str, str] = {}
        where = f"at byte offset {self._byte(start)}"
        while True:
            position += len(self._text[position:]) - len(self._text[position:].lstrip())
            if self._text[position : position + 1] == ">":
                return attributes, position + 1
            found = _ATTRIBUTE.match(self._text, position)
            if found is None or found.end() == len(self._text):
                raise cannot_parse(f"Unclosed start tag {where}")
            if not found[1]:
                raise cannot_parse(f'Empty attribute name in the tag "{tag}" {where}')
            name, position = found[1], found.end()
            if (tag, name) == ("blockquote", "expandable") and self._text[position] != "=":
                attributes[name] = ""
                continue
            value = _VALUE.match(self._text, position)
            if value is None:
                if self._text[position] == "=":
                    raise cannot_parse(f"Unclosed start tag {where}")
                raise cannot_parse(
                    f'Expected equal sign in declaration of an attribute of the tag "{tag}" {where}'
                )
            position = value.end()
            bare = value["bare"]
            if bare is not None and not re.match(r"[\s>]", self._text[position : position + 1]):
                first = self._byte(value.start("bare"))
                raise cannot_parse(f"Unexpected end of name token at byte offset {first}")
            quoted = value["double"] or value["single"] or ""
            attributes[name] = bare.lower() if bare is not None else _decoded(quoted)

    def _end_tag(self, start: int) -> int:
        where = f"at byte offset {self._byte(start)}"
        if not self._open:
            raise cannot_parse(f"Unexpected end tag {where}")
        found = _END_TAG.match(self._text, start)
        if found is None or self._text[found.end() : found.end() + 1] != ">":
            raise cannot_parse(f"Unclosed end tag {where}")
        tag, name = self._open.pop(), found[1].lower()
        if name and name != tag.name:
            raise cannot_parse(
                f'Unmatched end tag {where}, expected "</{tag.name}>", found "</{name}>"'
            )
        self._add(tag)
        return found.end() + 1

    def _add(self, tag: _OpenTag) -> None:
        length = utf16_length(self._plain) - tag.offset
        if not length:
            return
        place = {"offset": tag.offset, "length": length}
        language = tag.attributes.get("class", "").removeprefix("language-")
        if tag.name in {"pre", "code"} and self._is_same_place(place):
            # <pre><code class="language-python">, in either order.
            self._entities[-1] = {"type": "pre", **place, **_language(self._entities[-1], language)}
        elif (found := self._meaning(tag, language)) is not None:
            self._entities.append({**found, **place})

    def _is_same_place(self, place: Mapping[str, int]) -> bool:
        last = self._entities[-1] if self._entities else {}
        return last.get("type") in {"pre", "code"} and (last["offset"], last["length"]) == (
            place["offset"],
            place["length"],
        )

    def _meaning(self, tag: _OpenTag, language: str) -> dict[str, Any] | None:
        match tag.name:
            case "a":
                inner = self._plain[tag.first_character :]
                return link_entity(tag.attributes.get("href", ""), inner)
            case "code":
                return {"type": "code"} | ({"language": language} if language else {})
            case "pre":
                return {"type": "pre"}
            case "blockquote":
                is_expandable = "expandable" in tag.attributes
                return {"type": "expandable_blockquote" if is_expandable else "blockquote"}
            case "tg-emoji":
                return emoji_entity(tag.attributes.get("emoji-id", ""))
            case "tg-time":
                attributes = tag.attributes
                return time_entity(attributes.get("unix", ""), attributes.get("format", ""))
            case name:
                return {"type": _SIMPLE[name]}

    def _byte(self, position: int) -> int:
        return len(self._text[:position].encode())


def _language(inner: Mapping[str, Any], language: str) -> dict[str, str]:
    found = inner.get("language") or language
    return {"language": found} if found else {}


def _reference(text: str, position: int) -> tuple[str, int] | None:
    """Read a character reference; returns the character and the position after it."""
    found = _REFERENCE.match(text, position)
    if found is None:
        return None
    if found["name"]:
        character = _NAMED.get(found["name"])
        return None if character is None else (character, found.end())
    code = int(found["hex"], 16) if found["hex"] else int(found["dec"])
    if not 0 < code < 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return None
    return chr(code), found.end()


def _decoded(text: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        read = _reference(found[0], 0)
        return found[0] if read is None else read[0]

    return _REFERENCE.sub(replaced, text)
