"""Who asks for a picture is understood, and plain talk, also of pictures, is no request.

The lists were written before the reader. It was made with the first half of each list; the second half
was read only to measure it, and docs/bot.md has the figures of both.
"""

from pathlib import Path

import pytest

from chatflow_hook import ChatFlowHook
from chatflow_hook.picture_intent import PictureIntent, read_intent

# Of 165 askings and 364 harmless sentences.
MISSED, ALARMS = 1, 2
LISTS = Path(__file__).parent / "picture_intent"


def lines(name: str) -> list[str]:
    return (LISTS / f"{name}.txt").read_text("utf-8").splitlines()


def test_askings_are_understood_but_for_a_few() -> None:
    missed = [line for line in lines("asking") if not ChatFlowHook.wants_picture(line)]

    assert len(missed) <= MISSED, missed


def test_harmless_sentences_ask_for_nothing_but_for_a_few() -> None:
    alarms = [line for line in lines("harmless") if ChatFlowHook.wants_picture(line)]

    assert len(alarms) <= ALARMS, alarms


@pytest.mark.parametrize(
    ("text", "model_says", "wanted"),
    [
        ("I wonder how you look in this light", True, True),
        ("I wonder how you look in this light", False, False),
        ("I wonder how you look in this light", None, False),
        ("send me a photo", False, True),
        ("no photos please", True, False),
        ("не присылай мне фотки", True, False),
        ("", None, False),
    ],
)
def test_the_model_decides_where_the_words_do_not(
    *, text: str, model_says: bool | None, wanted: bool
) -> None:
    assert ChatFlowHook.wants_picture(text, model_says) is wanted


def test_the_last_sentence_that_speaks_of_pictures_counts() -> None:
    assert read_intent("Send me a photo! No, wait. Don't send photos.") is PictureIntent.DECLINES
    assert read_intent("Я вчера сфоткал кота. А теперь пришли фото!") is PictureIntent.ASKS


def test_a_long_text_is_read_at_its_end() -> None:
    assert ChatFlowHook.wants_picture("word " * 10_000 + ". Send me a photo.")
