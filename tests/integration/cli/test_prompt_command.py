"""`imagegen prompt`: what would be drawn for a dialog file."""

import json
from pathlib import Path
from typing import Any

import pytest

from imagegen import resources
from imagegen.pipeline.image_spec import dialog_seed
from tests.support import command
from tests.support.command import CommandResult
from tests.support.language_model import Answer, ChatServer, says, silence
from tests.support.llm_answers import SCENE

CAFE = {
    "persona": "Lina",
    "dialog_id": 7,
    "message_count": 4,
    "text": "Where are you?",
    "reply": "Сижу в кафе у окна, идёт дождь.",
    "rating": "suggestive",
}


@pytest.fixture
def dialog(tmp_path: Path) -> Path:
    return _written(tmp_path, CAFE)


def _written(directory: Path, content: Any) -> Path:
    file = directory / "dialog.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


async def _result(file: Path, *arguments: str, **variables: str) -> dict[str, Any]:
    ended = await command.run("prompt", "--dialog", str(file), "--json", *arguments, **variables)
    assert ended.code == 0, ended.stderr
    (result,) = ended.json
    return dict(result)


async def _result_with_model(answer: Answer, file: Path, *arguments: str) -> dict[str, Any]:
    async with ChatServer(answer).running() as server:
        return await _result(file, *arguments, PROMPT_LLM_URL=server.url, PROMPT_LLM_TIMEOUT="0.5")


async def _failure(*arguments: str, **variables: str) -> CommandResult:
    ended = await command.run("prompt", *arguments, **variables)
    assert (ended.code, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    return ended


async def test_people_see_all_lines(dialog: Path) -> None:
    ended = await command.run("prompt", "--dialog", str(dialog))

    lines = [line.strip().partition("  ")[0] for line in ended.stdout.splitlines()]
    assert (ended.code, ended.stderr) == (0, "")
    assert lines == [
        *("lina", "rating", "talk", "screen", "prompt", "summary", "source", "words", "seed"),
        "cache key",
    ]


async def test_a_sheet_tells_all_that_would_be_drawn(dialog: Path) -> None:
    result = await _result(dialog)

    assert result["summary"] == "Lina: café, rain"
    assert (result["source"], result["fallback"], result["rating"]) == ("template", None, "safe")
    assert (result["talk"], result["screen"]) == ("clear", "clear")
    assert result["words"] == len(result["prompt"].split())
    assert result["seed"] == dialog_seed(7, 4)
    assert len(result["cache_key"]) == 64


async def test_the_rating_is_the_lowest_of_what_is_asked_and_allowed(dialog: Path) -> None:
    allowed = await _result(dialog, "--max-rating", "explicit")
    asked = await _result(dialog, "--max-rating", "explicit", "--rating", "safe")
    operator = await _result(dialog, MAX_RATING="suggestive")

    assert (allowed["rating"], asked["rating"]) == ("suggestive", "safe")
    assert operator["prompt"] == allowed["prompt"] != asked["prompt"]


async def test_a_variation_has_another_seed_and_other_words(dialog: Path) -> None:
    first = await _result(dialog)
    second = await _result(dialog, "--kind", "variation", "--variation", "1")

    assert all(first[line] != second[line] for line in ("prompt", "seed", "cache_key"))
    assert first["summary"] == second["summary"]


async def test_all_personas_are_shown(dialog: Path) -> None:
    ended = await command.run("prompt", "--dialog", str(dialog), "--persona", "all", "--json")

    assert len({result["prompt"] for result in ended.json}) == 8


async def test_a_model_is_asked_if_there_is_one(dialog: Path) -> None:
    result = await _result_with_model(says(SCENE), dialog)

    assert result["source"] == "llm"
    assert SCENE["scene"] in result["prompt"]


async def test_one_can_do_without_the_model(dialog: Path) -> None:
    result = await _result_with_model(says(SCENE), dialog, "--no-llm")

    assert (result["source"], result["fallback"]) == ("template", None)


async def test_a_model_that_fails_is_named(dialog: Path) -> None:
    result = await _result_with_model(silence, dialog, "--llm")

    assert (result["source"], result["fallback"]) == ("template", "timeout")


async def test_the_bots_own_prompt_is_shown(tmp_path: Path) -> None:
    result = await _result(_written(tmp_path, CAFE | {"prompt": "Lina flies a kite"}))

    assert result["source"] == "own"
    assert "The scene: Lina flies a kite." in result["prompt"]


async def test_talk_of_ones_family_stays_safe_and_shows_the_persona_alone(tmp_path: Path) -> None:
    talk = {"persona": "lina", "text": "My son and I cook in the kitchen, it rains"}

    result = await _result(
        _written(tmp_path, talk | {"rating": "suggestive"}), "--max-rating", "suggestive"
    )

    assert result["rating"] == "safe"
    assert result["talk"].startswith("safe_only")
    assert "Lina is the only person in the picture." in result["prompt"]
    assert "kitchen" not in result["prompt"]


async def test_an_operators_persona_brings_its_own_words_for_a_rating(
    dialog: Path, tmp_path: Path
) -> None:
    own = {"PERSONAS_DIR": str(_bold_lina(tmp_path / "personas")), "MAX_RATING": "explicit"}
    explicit = await _result(dialog, "--rating", "explicit", **own)
    suggestive = await _result(dialog, **own)
    usual = await _result(dialog, "--rating", "explicit", MAX_RATING="explicit")

    assert (explicit["rating"], suggestive["rating"]) == ("explicit", "suggestive")
    assert "Words of the operator." in explicit["prompt"]
    assert "Words of the operator." not in suggestive["prompt"]
    assert usual["rating"] == "suggestive"


def _bold_lina(directory: Path) -> Path:
    """Write a lina of one's own, who is drawn with the shipped one's graph."""
    there = resources.path("workflows") / "lina" / "persona.toml"
    words = '[wording]\nexplicit = "Words of the operator."\n'
    (directory / "lina").mkdir(parents=True)
    (directory / "lina" / "persona.toml").write_text(
        f'max_rating = "explicit"\n{there.read_text(encoding="utf-8")}\n{words}', encoding="utf-8"
    )
    return directory


async def test_a_file_of_nothing_is_an_everyday_moment(tmp_path: Path) -> None:
    result = await _result(_written(tmp_path, {}), "--persona", "una")

    assert result["summary"] == "Una: an everyday moment"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "dialog.json: the file: Invalid JSON"),
        ("[]", "dialog.json: the file: Input should be an object"),
        ({"text": 1}, "dialog.json: text: Input should be a valid string"),
        ({"mood": "SECRET"}, "dialog.json: mood: Extra inputs are not permitted"),
        ({"history": [{"role": "SECRET"}]}, "dialog.json: history.0.role: Input should be"),
        ({"text": "hi"}, "no persona is named"),
        ({"persona": "nobody"}, "There is no persona called 'nobody'"),
    ],
)
async def test_a_wrong_file_is_told_in_a_sentence(tmp_path: Path, content: Any, why: str) -> None:
    ended = await _failure("--dialog", str(_written(tmp_path, content)))

    assert why in ended.stderr
    assert "SECRET" not in ended.stderr


async def test_without_a_file_an_example_is_drawn_for_each_persona_that_is_named() -> None:
    ended = await command.run("prompt", "--persona", "mei", "--persona", "lina", "--json")

    assert (ended.code, ended.stderr) == (0, "")
    assert [result["persona"] for result in ended.json] == ["may", "lina"]
    assert "reading, café, rain, evening, a sweater" in ended.json[0]["summary"]


async def test_a_missing_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    ended = await _failure("--dialog", str(tmp_path / "none.json"))

    assert ended.stderr.endswith("none.json: cannot be read: No such file or directory\n")


async def test_a_wrong_setting_is_told_in_a_sentence(dialog: Path, tmp_path: Path) -> None:
    no_model = await _failure("--dialog", str(dialog), "--llm")
    no_personas = await _failure("--dialog", str(dialog), WORKFLOWS_DIR=str(tmp_path))
    no_own = await _failure("--dialog", str(dialog), PERSONAS_DIR=str(tmp_path / "none"))
    no_key = await _failure(
        "--dialog", str(dialog), PROMPT_LLM_URL="http://127.0.0.1:1", PROMPT_LLM_API_KEY="ключ"
    )

    assert "PROMPT_LLM_URL is not set" in no_model.stderr
    assert "WORKFLOWS_DIR" in no_personas.stderr
    assert "PERSONAS_DIR" in no_own.stderr
    assert (
        "PROMPT_LLM_API_KEY: got something else, must be the server's key, plain ASCII"
        in no_key.stderr
    )
