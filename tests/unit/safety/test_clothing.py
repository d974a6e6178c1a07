"""Words for too little clothing are found as the screen's other words are, in any disguise."""

import pytest

from imagegen.safety.clothing import is_bare


@pytest.mark.parametrize(
    "text",
    [
        "naked",
        "topless at the pool",
        "wearing lingerie",
        "sexy",
        "a see-through dress",
        "в трусиках",
    ],
)
def test_a_bare_scene_is_not_safe(text: str) -> None:
    assert is_bare(text, is_safe=True)


@pytest.mark.parametrize(
    "text",
    [
        "nude",
        "without clothes",
        "Nothing at all",
        "nipples",
        "bare breasts",
        "она голая",
        "топлесс",
    ],
)
def test_nudity_is_too_bare_for_any_wording_of_ours(text: str) -> None:
    assert is_bare(text, is_safe=False)


@pytest.mark.parametrize(
    "text",
    [
        "n4ked by the window",
        "nаkеd by the window",  # Cyrillic letters
        "n u d e",
        "𝓷𝓪𝓴𝓮𝓭",
        "nak\u200bed",
        "naaaked",
        "n*ked",
        "g0lая",
        "ꓠꓴꓓꓰ",
    ],
)
def test_a_disguise_hides_no_nudity(text: str) -> None:
    assert is_bare(text, is_safe=False)


@pytest.mark.parametrize(
    "text",
    [
        "an elegant dress with bare shoulders",
        "she looks through the window to see the sea",
        "a woman in a green coat under old trees",
        "девушка в зелёном пальто под старыми деревьями",
    ],
)
def test_dressed_is_dressed(text: str) -> None:
    assert not is_bare(text, is_safe=False)


def test_underwear_is_too_little_at_safe_only() -> None:
    assert not is_bare("lingerie under a silk robe", is_safe=False)
