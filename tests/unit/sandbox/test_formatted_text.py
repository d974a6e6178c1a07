"""HTML and MarkdownV2 are read as Telegram reads them, and refused in its words."""

from typing import Any

import pytest
from aiogram.types import MessageEntity
from aiogram.utils.text_decorations import html_decoration, markdown_decoration
from hypothesis import given, settings
from hypothesis import strategies as st
from telegram.helpers import escape_markdown

from imagegen.sandbox.telegram.errors import ApiError
from imagegen.sandbox.telegram.markup.formatted_text import FormattedText, read_text

LINK = {"type": "text_link", "url": "https://example.org/?a=1&b=2"}
TIME = {"type": "date_time", "unix_time": 1795914509, "date_time_format": "t"}


def html(text: str) -> FormattedText:
    return read_text(text, "HTML", None)


def markdown(text: str) -> FormattedText:
    return read_text(text, "MarkdownV2", None)


def entity(kind: str, offset: int, length: int, **more: Any) -> dict[str, Any]:
    return {"type": kind, "offset": offset, "length": length, **more}


@pytest.mark.parametrize(
    ("text", "plain", "entities"),
    [
        ("<b>a</b>", "a", [entity("bold", 0, 1)]),
        ("🌊<STRONG>a</STRONG>", "🌊a", [entity("bold", 2, 1)]),
        ("<i>a<u>b</u></i>", "ab", [entity("italic", 0, 2), entity("underline", 1, 1)]),
        ("<b>a</>", "a", [entity("bold", 0, 1)]),
        ("  <s> a</s>\n", "a", [entity("strikethrough", 0, 1)]),
        ('<span class="tg-spoiler">a</span>', "a", [entity("spoiler", 0, 1)]),
        ("&lt;b&gt; &amp; &#x1F30A; &copy;", "<b> & 🌊 &copy;", []),
        ("<a href='https://a.b?x=1&amp;y'>a</a>", "a", [
            entity("text_link", 0, 1, url="https://a.b?x=1&y")
        ]),
        ("<a href='a.bc/d'>a</a>", "a", [entity("text_link", 0, 1, url="http://a.bc/d")]),
        ("<a href='nowhere'>a</a>", "a", []),
        ("<b></b>a", "a", []),
        ("<pre>a</pre>", "a", [entity("pre", 0, 1)]),
        ('<pre><code class="language-py">a</code></pre>', "a", [
            entity("pre", 0, 1, language="py")
        ]),
        ("<blockquote expandable>a</blockquote>", "a", [entity("expandable_blockquote", 0, 1)]),
        ('<tg-emoji emoji-id="7">👍</tg-emoji>', "👍", [
            entity("custom_emoji", 0, 2, custom_emoji_id="7")
        ]),
        ('<tg-time unix="7" format="t">noon</tg-time>', "noon", [
            entity("date_time", 0, 4, unix_time=7, date_time_format="t")
        ]),
    ],
)  # fmt: skip
def test_html_is_read(text: str, plain: str, entities: list[dict[str, Any]]) -> None:
    read = html(text)

    assert read.text == plain
    assert list(read.entities) == entities


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<b>a", 'Can\'t find end tag corresponding to start tag "b"'),
        ("a</b>", "Unexpected end tag at byte offset 1"),
        ("🌊<x>a</x>", 'Unsupported start tag "x" at byte offset 4'),
        ("a <3 b", 'Unsupported start tag "3" at byte offset 2'),
        ("a < b", 'Unsupported start tag "" at byte offset 2'),
        ("<b>a</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("<b", "Unclosed start tag at byte offset 0"),
        ("<b>a</b", "Unclosed end tag at byte offset 4"),
        ("<span>a</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        ("<a href>a</a>", (
            'Expected equal sign in declaration of an attribute of the tag "a" at byte offset 0'
        )),
        ("<a ='b'>a</a>", 'Empty attribute name in the tag "a" at byte offset 0'),
        ("<a href=b:c>a</a>", "Unexpected end of name token at byte offset 8"),
        ("<a href='b>a</a>", "Unclosed start tag at byte offset 0"),
        ("<tg-emoji emoji-id='x'>a</tg-emoji>", "Invalid custom emoji identifier specified"),
    ],
)  # fmt: skip
def test_wrong_html_is_refused(text: str, why: str) -> None:
    with pytest.raises(ApiError) as refused:
        html(text)

    assert refused.value.description == f"Bad Request: can't parse entities: {why}"


@pytest.mark.parametrize(
    ("text", "plain", "entities"),
    [
        ("*a*", "a", [entity("bold", 0, 1)]),
        ("_a_ __b__", "a b", [entity("italic", 0, 1), entity("underline", 2, 1)]),
        ("*a _b_*", "a b", [entity("bold", 0, 3), entity("italic", 2, 1)]),
        (r"1\. \*a\*", "1. *a*", []),
        ("||a|| ~b~", "a b", [entity("spoiler", 0, 1), entity("strikethrough", 2, 1)]),
        ("`a_b*`", "a_b*", [entity("code", 0, 4)]),
        ("```\na.b```", "a.b", [entity("pre", 0, 3)]),
        ("```py\na```", "a", [entity("pre", 0, 1, language="py")]),
        (r"[a](https://a.b/\))", "a", [entity("text_link", 0, 1, url="https://a.b/)")]),
        ("[a](tg://user?id=7)", "a", [
            entity("text_mention", 0, 1,
                   user={"id": 7, "is_bot": False, "first_name": "Person 7"})
        ]),
        ("![👍](tg://emoji?id=7)", "👍", [entity("custom_emoji", 0, 2, custom_emoji_id="7")]),
        ("![noon](tg://time?unix=7&format=t)", "noon", [
            entity("date_time", 0, 4, unix_time=7, date_time_format="t")
        ]),
        (">a\n>b\nc", "a\nb\nc", [entity("blockquote", 0, 4)]),
        ("a\n>b||", "a\nb", [entity("expandable_blockquote", 2, 1)]),
    ],
)  # fmt: skip
def test_markdown_is_read(text: str, plain: str, entities: list[dict[str, Any]]) -> None:
    read = markdown(text)

    assert read.text == plain
    assert list(read.entities) == entities


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a.", "Character '.' is reserved and must be escaped with the preceding '\\'"),
        ("a|b", "Character '|' is reserved and must be escaped with the preceding '\\'"),
        ("🌊*a", "Can't find end of Bold entity at byte offset 4"),
        ("__a_", "Can't find end of Italic entity at byte offset 3"),
        ("```py\na", "Can't find end of PreCode entity at byte offset 0"),
        ("[a](b", "Can't find end of a URL at byte offset 4"),
        ("![a]", "Custom emoji entity must contain a tg://emoji URL"),
        ("![a](tg://emoji?id=7", "Can't find end of a custom emoji URL at byte offset 5"),
        (">*a\nb*", "Can't find end of Bold entity at byte offset 1"),
    ],
)
def test_wrong_markdown_is_refused(text: str, why: str) -> None:
    with pytest.raises(ApiError) as refused:
        markdown(text)

    assert refused.value.description == f"Bad Request: can't parse entities: {why}"


def test_telegram_marks_commands_mentions_tags_and_addresses_by_itself() -> None:
    read = read_text("/start@lina_bot #море @anna https://a.b/c. 1/2 <b>", None, None)

    assert list(read.entities) == [
        entity("bot_command", 0, 15),
        entity("hashtag", 16, 5),
        entity("mention", 22, 5),
        entity("url", 28, 13),
    ]


def test_nothing_is_marked_within_code() -> None:
    assert [each["type"] for each in html("<code>/start</code> /photo").entities] == [
        "code",
        "bot_command",
    ]


def test_given_entities_count_without_a_parse_mode() -> None:
    given_entities = '[{"type": "bold", "offset": 1, "length": 9}]'

    assert list(read_text(" ab", None, given_entities).entities) == [entity("bold", 0, 2)]
    assert read_text("ab", "HTML", given_entities).entities == ()


words = st.text(st.sampled_from("aя🌊 .*_[]()~`>#+-=|{}!\\&<\"'"), min_size=1, max_size=8)
kinds = st.sampled_from(
    [{"type": kind} for kind in ("bold", "italic", "underline", "strikethrough", "spoiler")]
    + [LINK, TIME]
)


@settings(max_examples=40)
@given(st.lists(st.tuples(words, st.none() | kinds), min_size=1, max_size=5))
def test_what_aiogram_writes_is_read_back(parts: list[tuple[str, dict[str, Any] | None]]) -> None:
    text, entities = "|", []
    for word, kind in parts:
        if kind is not None:
            offset = len(text.encode("utf-16-le")) // 2
            length = len(word.encode("utf-16-le")) // 2
            entities.append({**kind, "offset": offset, "length": length})
        text += f"{word}|"
    written = [MessageEntity.model_validate(each) for each in entities]

    for decoration, read in ((html_decoration, html), (markdown_decoration, markdown)):
        back = read(decoration.unparse(text, written))

        found = [each for each in back.entities if each["type"] not in {"hashtag", "mention"}]
        assert back.text == text
        assert found == entities


@settings(max_examples=40)
@given(words)
def test_what_python_telegram_bot_escapes_is_read_back(text: str) -> None:
    assert markdown(escape_markdown(f"|{text}|", version=2)).text == f"|{text}|"
