"""Reading persona.toml."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from chatflow_hook.turn import Rating
from imagegen.workflows.errors import WorkflowFault
from imagegen.workflows.persona import (
    Habits,
    InputReference,
    Persona,
    PromptStyle,
    read_persona,
)

WHOLE = """
display_name = "Lina"
age = 24
appearance = "A woman of 24 with black hair."
style = "A photograph."
trigger_words = ["l1na", "l1na woman"]
workflow = "../_common/portrait.json"

[nodes]
save = "Save"
text = { node = "57:27", input = "text" }

[inputs]
"57:34".lora_name = "lina.safetensors"
"""


def _written(folder: Path, text: str) -> Path:
    file = folder / "Lina" / "persona.toml"
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    return file


def test_a_persona_is_read_whole(tmp_path: Path) -> None:
    persona, config = read_persona(_written(tmp_path, WHOLE))

    assert persona == Persona(
        name="lina",
        display_name="Lina",
        age=24,
        appearance="A woman of 24 with black hair.",
        style="A photograph.",
        trigger_words=("l1na", "l1na woman"),
    )
    assert config.workflow == "../_common/portrait.json"
    assert config.nodes.text == (InputReference(node="57:27", input="text"),)
    assert config.inputs == {"57:34": {"lora_name": "lina.safetensors"}}


def test_a_text_over_several_lines_becomes_one(tmp_path: Path) -> None:
    several = WHOLE.replace('"A photograph."', '"""\nA quiet\n  photograph.\n"""')

    persona, _ = read_persona(_written(tmp_path, several))

    assert persona.style == "A quiet photograph."


def test_habits_a_rating_and_words_for_ratings_may_be_left_out(tmp_path: Path) -> None:
    persona, _ = read_persona(_written(tmp_path, WHOLE))

    assert persona.max_rating is Rating.SUGGESTIVE
    assert persona.habits == Habits()
    assert [persona.wording_for(rating) for rating in Rating] == [None, None, None]


def test_habits_a_rating_and_words_for_ratings_are_read(tmp_path: Path) -> None:
    more = """
    [habits]
    indoors = ["in a lighthouse.", "at a desk"]
    never_wears = ["suit"]

    [wording]
    suggestive = "Words for suggestive."
    explicit = "Words for explicit."
    """

    persona, _ = read_persona(_written(tmp_path, f'max_rating = "explicit"{WHOLE}{more}'))

    assert persona.max_rating is Rating.EXPLICIT
    assert persona.habits == Habits(indoors=("in a lighthouse", "at a desk"), never_wears=("suit",))
    assert persona.wording_for(Rating.SAFE) is None
    assert persona.wording_for(Rating.SUGGESTIVE) == "Words for suggestive."
    assert persona.wording_for(Rating.EXPLICIT) == "Words for explicit."


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('max_rating = "wild"', "max_rating: Input should be 'safe', 'suggestive' or 'explicit'"),
        ("habits.hat = 1", "habits.hat: there is no such key"),
        ('habits.moods = "merry"', "habits.moods: Input should be a valid tuple"),
        ('habits.moods = ["весёлая"]', "habits.moods.0: must be plain English"),
        ('habits.moods = ["a <b>"]', "habits.moods.0: must be plain English"),
        ('habits.moods = [" "]', "habits.moods.0: must not be empty"),
        (f'habits.moods = ["{"a " * 21}"]', "habits.moods.0: must have at most 20 words"),
        (f"habits.moods = {['a'] * 9}", "habits.moods: Tuple should have at most 8 items"),
        ('wording.wild = "x"', "wording.wild: there is no such key"),
        (f'wording.explicit = "{"a " * 61}"', "wording.explicit: must have at most 60 words"),
    ],
)
def test_what_is_wrong_with_habits_is_named(tmp_path: Path, more: str, why: str) -> None:
    with pytest.raises(WorkflowFault) as caught:
        read_persona(_written(tmp_path, f"{more}\n{WHOLE}"))

    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("line", "instead", "why"),
    [
        ("age = 24", "age = 20", "age: Input should be greater than or equal to 21, got '20'"),
        ("age = 24", "age = 24.5", "age: Input should be a valid integer"),
        ("age = 24", 'age = "24"', "age: Input should be a valid integer"),
        ("age = 24", "age = true", "age: Input should be a valid integer"),
        ("age = 24", "", "age: is missing"),
        ("age = 24", "age = 24\nhair = 1", "hair: there is no such key"),
        ("age = 24", 'age = 24\nname = "x"', "name: the folder's name is the persona's name"),
        ("age = 24", "age = ", "is not TOML"),
        ('save = "Save"', 'saev = "Save"', "nodes.saev: there is no such key"),
        ('save = "Save"', "save = 9", "nodes.save: Input should be a valid string, got '9'"),
        ('"A photograph."', '" "', "style: must not be empty"),
        ('"A photograph."', r'"A \u0007 bell."', "style: must not contain control characters"),
        ('"A photograph."', f'"{"word " * 61}"', "style: must have at most 60 words, has 61"),
        ('"A photograph."', f'"{"x" * 700}"', "style: String should have at most 600 characters"),
        ('"l1na woman"', '""', "trigger_words.1: must not be empty"),
    ],
)
def test_what_is_wrong_with_a_persona_is_named(
    tmp_path: Path, line: str, instead: str, why: str
) -> None:
    file = _written(tmp_path, WHOLE.replace(line, instead))

    with pytest.raises(WorkflowFault) as caught:
        read_persona(file)

    assert str(caught.value).startswith(f"{file.parent.name}/persona.toml: ")
    assert why in str(caught.value)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    file = _written(tmp_path, WHOLE.replace("age = 24", "age = 3\nhair = 1"))

    with pytest.raises(WorkflowFault, match=r"age: .*; hair: "):
        read_persona(file)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    file = _written(tmp_path, "")
    file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(WorkflowFault, match=r"persona\.toml: is not TOML"):
        read_persona(file)


def test_nobody_under_age_can_be_made_in_code_either() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 21"):
        Persona(name="a", display_name="A", age=20, appearance="B.", style="C.")


def test_a_persona_cannot_be_changed() -> None:
    persona = Persona(name="a", display_name="A", age=30, appearance="B.", style="C.")

    with pytest.raises(ValidationError, match="frozen"):
        setattr(persona, "age", 12)  # noqa: B010 - mypy knows that it cannot be set


def test_tags_need_room_for_a_scene(tmp_path: Path) -> None:
    text = WHOLE.replace("A photograph.", "A quiet photograph" + " with fine detail" * 15)

    with pytest.raises(WorkflowFault, match="may take 50 tokens with name and age, and take up to"):
        read_persona(_written(tmp_path, f'prompt_style = "tags"\n{text}'))


def test_tags_are_read(tmp_path: Path) -> None:
    persona, _ = read_persona(_written(tmp_path, f'prompt_style = "tags"\n{WHOLE}'))

    assert persona.prompt_style is PromptStyle.TAGS
