"""The bound of CLIP's tokens; the counts were taken from CLIP's own tokenizer."""

import pytest

from imagegen.workflows.clip_tokens import most_tokens

COUNTED = {
    "": 0,
    "a photo": 2,
    "A picture of l1nazt, Lina, a fictional adult aged 24. Lina is a woman with long straight"
    " black hair": 26,
    "turtleneck": 3,
    "she's at the café, isn't she?": 10,
    "(masterpiece:1.3), 8k": 9,
    "кухня": 7,
    "ƎFȗ'ſĵ": 10,
    "½ ² 😀": 3,
}


@pytest.mark.parametrize(("text", "tokens"), COUNTED.items())
def test_the_bound_is_never_below_the_count(text: str, tokens: int) -> None:
    assert most_tokens(text) >= tokens


def test_common_words_are_counted_exactly() -> None:
    assert most_tokens("a woman with long straight black hair, in a kitchen") == 11
