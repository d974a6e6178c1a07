"""The template builder."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatflow_hook.tables import Kind
from chatflow_hook.turn import Message, Rating
from imagegen.prompts.brief import Brief
from imagegen.prompts.scene import (
    CATEGORIES,
    PromptSource,
    SceneSetting,
    StoredScene,
    WrittenPrompt,
)
from imagegen.prompts.template import shipped_template
from imagegen.prompts.vocabulary import shipped_vocabulary
from imagegen.workflows.persona import Habits, Persona, Wordings
from tests.support.briefs import HABITS, brief, nora, worded

TEMPLATE = shipped_template()
KNOWN = shipped_vocabulary()
# As long as persona.toml allows.
LONGEST = Persona(
    name="x",
    display_name="a b c d e",
    age=99,
    appearance="x " * 120,
    style="y " * 60,
    trigger_words=("p q r s t",) * 8,
    habits=Habits(
        **dict.fromkeys(
            ("indoors", "outdoors", "clothes", "evening_clothes", "moods", "cameras"),
            ("z " * 20, "w " * 20),
        )
    ),
    wording=Wordings(explicit="q " * 60),
)

settings = st.builds(
    SceneSetting,
    **{name: st.none() | st.sampled_from(sorted(getattr(KNOWN, name))) for name in CATEGORIES},
)


def _written(reply: str = "", **changed: Any) -> WrittenPrompt:
    return TEMPLATE.write(brief(reply, **changed))


def _varied(prompt: WrittenPrompt, variation: int, **changed: Any) -> WrittenPrompt:
    return _written(scene=prompt.scene, variation=variation, kind=Kind.VARIATION, **changed)


def test_a_prompt_goes_from_who_over_the_scene_to_the_style() -> None:
    prompt = _written("I sit in the café and drink coffee, it rains").text

    parts = [
        "A picture of norazt, Nora, a fictional adult aged 30.",
        " Nora is a woman with a red ponytail.",
        " Nora is in a ",
        "café",
        " with rain running down the window panes.",
        " Nora wears comfortable everyday clothes.",
        " cup of coffee",
        " The picture is ",
        " The light is ",
        " The mood is ",
        " A bright photograph.",
    ]
    places = [prompt.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)
    assert prompt.startswith(parts[0])
    assert prompt.endswith(parts[-1])


def test_a_summary_names_what_was_found() -> None:
    prompt = _written("Сижу вечером в кафе с книгой, идёт дождь")

    assert prompt.summary == "Nora: reading, café, rain, evening"
    assert prompt.source is PromptSource.TEMPLATE


def test_a_talk_of_nothing_is_an_everyday_moment() -> None:
    assert _written("ok").summary == "Nora: an everyday moment"


def test_no_word_of_the_talk_is_in_a_prompt() -> None:
    said = brief(
        "Zanzibar xylophone in the park",
        text="Quetzalcoatl, дорогая",
        history=(Message(role="user", text="bandersnatch"),),
    )

    prompt = TEMPLATE.write(said)

    kept = f"{prompt.text} {prompt.summary} {prompt.scene}".casefold()
    assert not [
        word
        for word in ("zanzibar", "xylophone", "quetzalcoatl", "дорогая", "bandersnatch")
        if word in kept
    ]


def test_the_reply_counts_before_the_message_and_the_message_before_the_history() -> None:
    history = (
        Message(role="user", text="in the forest, in the fog"),
        Message(role="persona", text="in the evening"),
    )

    prompt = _written("I am in the kitchen", text="in the garden, in the snow", history=history)

    assert prompt.summary == "Nora: kitchen, snow, evening"


def test_habits_are_drawn_where_the_talk_says_nothing() -> None:
    texts = {_written(f"hello {number}", persona=nora(habits=HABITS)).text for number in range(20)}

    assert all("Nora wears a green raincoat." in text for text in texts)
    assert all("The mood is brisk and salty." in text for text in texts)
    assert {"lighthouse" in text for text in texts} == {True, False}
    assert {"on a pier of her own" in text for text in texts} == {True, False}
    assert {"a wide shot" in text for text in texts} == {True, False}


@pytest.mark.parametrize(
    ("weather", "where"),
    [("it rains", "lighthouse"), ("it is sunny", "pier"), ("it is night", "lighthouse")],
)
def test_weather_and_hour_choose_between_a_roof_and_the_open_sky(weather: str, where: str) -> None:
    assert where in _written(weather, persona=nora(habits=HABITS)).text


def test_what_the_weather_makes_one_take_along_is_taken_outdoors_alone() -> None:
    outside = _written("in the park, it rains", persona=nora(habits=HABITS)).text
    inside = _written("in the library, it rains", persona=nora(habits=HABITS)).text

    assert "a green raincoat, with an umbrella in one hand." in outside
    assert "a green raincoat." in inside


def test_clothes_of_the_talk_win_over_the_place_and_the_habit() -> None:
    at_the_beach = _written("at the beach", persona=nora(habits=HABITS)).text
    in_a_suit = _written("at the beach in a suit and jeans", persona=nora(habits=HABITS)).text

    assert "Nora wears light summer clothes" in at_the_beach
    assert "Nora wears blue jeans" in in_a_suit or "Nora wears a well-cut dark suit" in in_a_suit


def test_a_persona_does_not_wear_what_it_never_wears() -> None:
    assert "dress" not in _written("a dress in the park", persona=nora(habits=HABITS)).text


@pytest.mark.parametrize("word", ["hello", "in a dress", "at the pool", "in a robe", "at the gym"])
def test_wording_goes_by_the_rating(word: str) -> None:
    safe = _written(word)
    suggestive = _written(word, rating=Rating.SUGGESTIVE)

    assert _clothes(safe) != _clothes(suggestive)
    assert "tasteful" in suggestive.text
    assert "tasteful" not in safe.text


def test_explicit_is_worded_as_suggestive_unless_the_operator_brings_words() -> None:
    suggestive, explicit = (
        _written("in a robe", rating=rating).text for rating in (Rating.SUGGESTIVE, Rating.EXPLICIT)
    )
    brought = _written(
        "in a robe", rating=Rating.EXPLICIT, persona=worded(explicit="Words of the operator")
    ).text

    assert explicit == suggestive
    assert " Words of the operator. " in brought
    assert "wears" not in brought


def test_an_operators_words_are_for_their_own_rating_alone() -> None:
    persona = worded(suggestive="Words of the operator.", explicit="Never seen.")

    assert "Words of the operator" not in _written("hello", persona=persona).text
    assert (
        "Words of the operator" in _written("hello", persona=persona, rating=Rating.SUGGESTIVE).text
    )


def test_suggestive_words_stand_in_for_explicit_ones() -> None:
    persona = worded(suggestive="Words of the operator.")

    assert (
        "Words of the operator" in _written("hello", persona=persona, rating=Rating.EXPLICIT).text
    )


def test_alone_the_persona_is_drawn_and_nothing_of_the_talk_but_hour_and_weather() -> None:
    prompt = _written(
        "We bake cookies with the neighbours in the kitchen this morning, in an apron, it rains",
        is_alone=True,
    )

    assert "Nora is the only person in the picture." in prompt.text
    assert prompt.summary == "Nora: rain, morning"
    assert not [word for word in ("kitchen", "dough", "apron") if word in prompt.text]


def test_a_variation_has_another_pose_framing_and_light_and_the_same_scene() -> None:
    first = _written("in a coat in the park, it rains", persona=nora(habits=HABITS))
    second = _varied(first, 1, persona=nora(habits=HABITS))

    one, other = _sentences(first), _sentences(second)
    assert [a == b for a, b in zip(one, other, strict=True)] == [
        *(True, True, True, True),
        *(False, False, False),
        *(True, True),
    ]


def test_variations_that_follow_each_other_differ() -> None:
    first = _written("hello")

    texts = [first.text, *(_varied(first, number).text for number in range(1, 10))]

    assert all(one != other for one, other in itertools.pairwise(texts))


def test_a_variation_at_a_lower_rating_is_worded_for_that() -> None:
    first = _written("at the pool", rating=Rating.SUGGESTIVE)

    assert _clothes(_varied(first, 1)) == _clothes(_written("at the pool"))


def test_a_model_scene_is_varied_at_its_own_rating_and_no_other() -> None:
    kept = StoredScene(
        setting=SceneSetting(place="park"),
        rating=Rating.SUGGESTIVE,
        scene={
            "scene": "under a plane tree",
            "pose": "standing",
            "clothes": "a silk dress",
            "light": "bright",
            "mood": "happy",
            "camera": "a close shot",
        },
    ).to_json()

    same = _written(scene=kept, variation=1, rating=Rating.SUGGESTIVE).text
    lower = _written(scene=kept, variation=1).text

    assert "Nora is under a plane tree. Nora wears a silk dress." in same
    assert "The mood is happy." in same
    assert "Nora is standing." not in same
    assert not [word for word in ("plane tree", "silk", "happy") if word in lower]


def test_what_was_kept_by_another_version_still_makes_a_prompt() -> None:
    kept = {"setting": {"place": "moon"}, "shuffle": -1, "scene": {"scene": "x"}, "more": 1}

    assert _written(scene=kept).words > 40


def test_covers_follow_each_other_at_other_times_of_day() -> None:
    covers = [_written(kind=Kind.COVER, variation=number) for number in range(4)]

    assert len({cover.text for cover in covers}) == 4
    assert len({cover.summary for cover in covers}) == 4
    assert _varied(covers[1], 1).text != covers[1].text
    assert _varied(covers[1], 1).summary == covers[1].summary


@given(
    setting=settings,
    shuffle=st.integers(0, 2**16 - 1),
    rating=st.sampled_from(Rating),
    variation=st.integers(0, 50),
    persona=st.sampled_from([nora(), nora(habits=HABITS), LONGEST]),
    kind=st.sampled_from(Kind),
    is_alone=st.booleans(),
)
def test_any_setting_makes_a_prompt_within_bounds(
    *,
    setting: SceneSetting,
    shuffle: int,
    rating: Rating,
    variation: int,
    persona: Persona,
    kind: Kind,
    is_alone: bool,
) -> None:
    kept = StoredScene(setting=setting, shuffle=shuffle, rating=rating, is_alone=is_alone).to_json()
    given_ = Brief(persona=persona, scene=kept, variation=variation, rating=rating, kind=kind)

    prompt = TEMPLATE.write(given_)

    assert prompt == TEMPLATE.write(given_)
    assert prompt.words <= 380
    assert prompt.text.endswith(persona.style + "." * (not persona.style.endswith(".")))
    assert persona.wording_for(rating) or " wears " in prompt.text
    assert "\n" not in prompt.text + prompt.summary


@given(text=st.text(max_size=500), reply=st.text(max_size=500))
def test_any_words_make_a_prompt(text: str, reply: str) -> None:
    prompt = TEMPLATE.write(brief(text=text, reply=reply))

    assert 40 < prompt.words < 200


def test_a_process_of_its_own_writes_the_same_prompt() -> None:
    code = (
        "from tests.support.briefs import brief; from imagegen.prompts.template import shipped_template;"
        "print(shipped_template().write(brief('We dance on the roof')).text)"
    )

    other = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        env={"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

    assert other == _written("We dance on the roof").text


def _sentences(prompt: WrittenPrompt) -> list[str]:
    return prompt.text.split(". ")


def _clothes(prompt: WrittenPrompt) -> str:
    return next(one for one in _sentences(prompt) if " wears " in one)
