"""MarkdownV2 of the Bot API becomes a plain text with entities.

The error texts are those of TDLib's `parseTextEntities`; their offsets count bytes.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from imagegen.sandbox.telegram.markup.entities import (
    cannot_parse,
    emoji_entity,
    link_entity,
    time_entity,
    utf16_length,
)
from imagegen.sandbox.telegram.message import Entity

_RESERVED = frozenset("_*[]()~`>#+-=|{}.!\n")

# The longer marks are looked for first.
_MARKS = {
    "```": "pre",
    "__": "underline",
    "||": "spoiler",
    "![": "custom_emoji",
    "_": "italic",
    "*": "bold",
    "~": "strikethrough",
    "`": "code",
    "[": "text_link",
}
_END_MARKS = {kind: mark for mark, kind in _MARKS.items()} | {
    "custom_emoji": "]",
    "text_link": "]",
}

# As TDLib names them in its errors.
_NAMES = {
    "pre": "Pre",
    "underline": "Underline",
    "spoiler": "Spoiler",
    "custom_emoji": "CustomEmoji",
    "italic": "Italic",
    "bold": "Bold",
    "strikethrough": "Strikethrough",
    "code": "Code",
    "text_link": "TextUrl",
}


@dataclass(frozen=True, kw_only=True)
class _OpenMark:
    kind: str
    start: int
    first_character: int
    language: str = ""


def parse_markdown_v2(text: str) -> tuple[str, list[Entity]]:
    """Return the text without markup, and its entities.

    Raises:
        ApiError: the markup is wrong.
    """
    return _MarkdownParser(text).parse()


class _MarkdownParser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._plain = ""
        self._entities: list[dict[str, Any]] = []
        self._open: list[_OpenMark] = []
        # Where the quotation began, in characters of the plain text.
        self._quotation: int | None = None

    def parse(self) -> tuple[str, list[Entity]]:
        position = 0
        while position < len(self._text):
            position = self._step(position)
        if self._open:
            raise self._unclosed()
        self._end_quotation()
        return self._plain, list(self._entities)

    def _step(self, position: int) -> int:
        """Read from a position on; returns the position after what was read."""
        text, character = self._text, self._text[position]
        if character == "\\" and "\0" < text[position + 1 : position + 2] < "\x7f":
            self._plain += text[position + 1]
            return position + 2

        kind = self._open[-1].kind if self._open else ""
        is_reserved = character == "`" if kind in {"pre", "code"} else character in _RESERVED
        if not is_reserved:
            # Telegram drops carriage returns, which may part `_` from `__`.
            self._plain += character.replace("\r", "")
            return position + 1
        if kind and self._ends(kind, position):
            return self._close(position)
        if character == "\n":
            return self._new_line(position)
        if character == ">" and not position:
            self._quotation = 0
            return position + 1
        return self._begin(position)

    def _ends(self, kind: str, position: int) -> bool:
        if not self._text.startswith(_END_MARKS[kind], position):
            return False
        return kind != "italic" or not self._text.startswith("__", position)

    def _new_line(self, position: int) -> int:
        is_quoted = self._text.startswith("\n>", position)
        if self._quotation is not None and not is_quoted:
            if self._open:
                raise self._unclosed()
            # Telegram counts the line break to the quotation.
            self._plain += "\n"
            self._end_quotation()
            return position + 1
        self._plain += "\n"
        if is_quoted and self._quotation is None:
            self._quotation = len(self._plain)
        return position + (2 if is_quoted else 1)

    def _begin(self, position: int) -> int:
        mark = next((mark for mark in _MARKS if self._text.startswith(mark, position)), None)
        # `||` at the end of a quotation folds it.
        if mark == "||" and self._quotation is not None and self._is_end_of_line(position + 2):
            self._end_quotation("expandable_blockquote")
            return position + 2
        if mark is None:
            character = self._text[position]
            raise cannot_parse(
                f"Character '{character}' is reserved and must be escaped with the preceding '\\'"
            )
        after, language = position + len(mark), ""
        if mark == "```":
            language, after = self._language(after)
        self._open.append(
            _OpenMark(
                kind=_MARKS[mark],
                start=position,
                first_character=len(self._plain),
                language=language,
            )
        )
        return after

    def _language(self, position: int) -> tuple[str, int]:
        end = position
        while end < len(self._text) and not self._text[end].isspace() and self._text[end] != "`":
            end += 1
        is_language = end < len(self._text) and self._text[end] != "`"
        language = self._text[position:end] if is_language else ""
        position = end if language else position
        return language, position + self._text.startswith("\n", position)

    def _close(self, position: int) -> int:
        opened = self._open.pop()
        after = position + len(_END_MARKS[opened.kind])
        inner = self._plain[opened.first_character :]
        found: dict[str, Any] | None = {"type": opened.kind}
        if opened.kind == "pre" and opened.language:
            found = {"type": "pre", "language": opened.language}
        elif opened.kind == "text_link":
            url, after = self._target(after, "URL")
            found = link_entity(url, inner)
        elif opened.kind == "custom_emoji":
            if not self._text.startswith("(", after):
                raise cannot_parse("Custom emoji entity must contain a tg://emoji URL")
            url, after = self._target(after, "custom emoji URL")
            found = _from_tg_address(url)
        if found is not None and inner:
            self._add(found, opened.first_character)
        return after

    def _target(self, position: int, what: str) -> tuple[str, int]:
        """Read `(address)`; returns an empty address and the same position if there is none."""
        if not self._text.startswith("(", position):
            return "", position
        url, start = "", position + 1
        position = start
        while position < len(self._text) and self._text[position] != ")":
            position += self._text[position] == "\\" and position + 1 < len(self._text)
            url += self._text[position]
            position += 1
        if position >= len(self._text):
            raise cannot_parse(f"Can't find end of a {what} at byte offset {self._byte(start)}")
        return url, position + 1

    def _is_end_of_line(self, position: int) -> bool:
        return self._text[position : position + 1] in {"", "\n"}

    def _end_quotation(self, kind: str = "blockquote") -> None:
        if self._quotation is not None and len(self._plain) > self._quotation:
            self._add({"type": kind}, self._quotation)
        self._quotation = None

    def _add(self, found: dict[str, Any], first_character: int) -> None:
        offset = utf16_length(self._plain[:first_character])
        self._entities.append(
            {**found, "offset": offset, "length": utf16_length(self._plain) - offset}
        )

    def _unclosed(self) -> Exception:
        opened = self._open[-1]
        name = "PreCode" if opened.language else _NAMES[opened.kind]
        return cannot_parse(
            f"Can't find end of {name} entity at byte offset {self._byte(opened.start)}"
        )

    def _byte(self, position: int) -> int:
        return len(self._text[:position].encode())


def _from_tg_address(url: str) -> dict[str, Any]:
    """Read `tg://emoji?id=…` and `tg://time?unix=…&format=…`."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    match parts.scheme, parts.netloc:
        case "tg", "time":
            return time_entity(query.get("unix", ""), query.get("format", ""))
        case "tg", "emoji":
            return emoji_entity(query.get("id", ""))
        case _:
            raise cannot_parse("Custom emoji URL must have scheme tg")
