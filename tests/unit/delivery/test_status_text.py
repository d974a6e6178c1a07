"""What a status message says."""

import pytest

from chatflow_hook.messages import Messages
from imagegen.delivery.status_text import Stage, status_text

WORDS = Messages()


@pytest.mark.parametrize(
    ("stage", "language", "text"),
    [
        (Stage(), "en", "Drawing your picture…\n▱▱▱▱▱▱▱▱▱▱"),
        (Stage(share=0.55, left_s=7), "en", "Drawing your picture…\n▰▰▰▰▰▱▱▱▱▱ · about 9 s"),
        (Stage(share=0.85, left_s=2.1), "en", "Drawing your picture…\n▰▰▰▰▰▰▰▰▱▱ · about 3 s"),
        (Stage(share=0.25, left_s=9.1), "en", "Drawing your picture…\n▰▰▱▱▱▱▱▱▱▱ · about 10 s"),
        (Stage(share=1.0, left_s=-3), "ru-RU", "Рисую картинку…\n▰▰▰▰▰▰▰▰▰▰"),
        (Stage(share=0.1, left_s=61), "ru", "Рисую картинку…\n▰▱▱▱▱▱▱▱▱▱ · примерно 2 мин"),
        (Stage(place=3), "en", "Your picture is number 3 in the queue."),
        (Stage(place=2, left_s=31), "xx", "Your picture is number 2 in the queue.\nabout 35 s"),
    ],
)
def test_it_has_a_bar_or_a_place_and_an_estimate(stage: Stage, language: str, text: str) -> None:
    assert status_text(stage, WORDS, language) == text


def test_it_changes_rarely() -> None:
    texts = {
        status_text(Stage(share=done / 100, left_s=40 - done * 0.4), WORDS, "en")
        for done in range(101)
    }

    assert len(texts) <= 20
