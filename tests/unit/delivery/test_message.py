"""What is written below a photo has at most the length that Telegram accepts."""

import pytest

from imagegen.delivery.message import PhotoMessage


def _short_caption(caption: str | None, last_line: str | None) -> str | None:
    message = PhotoMessage(
        chat_id=1, filename="a.png", width=8, height=8, caption=caption, last_line=last_line
    )
    return message.short_caption


@pytest.mark.parametrize(
    ("caption", "last_line", "told"),
    [
        (None, None, None),
        ("by the sea", None, "by the sea"),
        (None, "made by AI", "made by AI"),
        ("by the sea", "made by AI", "by the sea\n\nmade by AI"),
    ],
)
def test_the_last_line_stands_below_the_caption(
    caption: str | None, last_line: str | None, told: str | None
) -> None:
    assert _short_caption(caption, last_line) == told


@pytest.mark.parametrize("letter", ["a", "я", "🌊"])
def test_a_long_caption_is_cut_and_its_last_line_is_whole(letter: str) -> None:
    told = _short_caption(letter * 2000, "made by AI 🤖")

    assert told is not None
    assert told.endswith(f"{letter}\n\nmade by AI 🤖")
    assert 1022 <= len(told.encode("utf-16-le")) // 2 <= 1024
