"""Other names of a persona, in persona.toml."""

from pathlib import Path

import pytest

from imagegen.workflows.errors import UnknownPersona
from imagegen.workflows.library import load_workflows
from tests.support.shipped_workflows import shipped_workflows
from tests.support.workflow_exports import plain, write_persona_folder

ROOT = Path(__file__).parents[3]


def write(root: Path, persona: str, *aliases: str) -> None:
    folder = write_persona_folder(root, plain(), persona=persona)
    toml = folder / "persona.toml"
    toml.write_text(f"aliases = {list(aliases)!r}\n{toml.read_text('utf-8')}", "utf-8")


@pytest.mark.parametrize("name", ["mei", " Mei ", "MAY", "may"])
def test_a_persona_is_found_by_each_of_its_names(tmp_path: Path, name: str) -> None:
    write(tmp_path, "may", "Mei", "mei-ling")

    assert load_workflows(tmp_path).find(name).persona.name == "may"


@pytest.mark.parametrize(
    ("shipped", "of_the_service_before"),
    [("may", "mei"), ("stacy", "stacey"), ("una", "yuna"), ("marriana", "marianna")],
)
def test_the_shipped_personas_have_the_names_of_the_service_before(
    shipped: str, of_the_service_before: str
) -> None:
    library = shipped_workflows()

    assert library.find(of_the_service_before) is library.find(shipped)


def test_an_alias_that_is_another_folders_name_is_refused_and_that_folder_is_not(
    tmp_path: Path,
) -> None:
    write(tmp_path, "lina", "may")
    write(tmp_path, "may")

    library = load_workflows(tmp_path)

    assert set(library.workflows) == {"may"}
    assert library.faults["lina"].sentence == (
        "lina/persona.toml: aliases: another persona has the name 'may'"
    )


def test_of_two_personas_with_one_alias_the_first_keeps_it(tmp_path: Path) -> None:
    write(tmp_path, "lina", "her")
    write(tmp_path, "may", "her", "mei")

    library = load_workflows(tmp_path)

    assert library.find("her").persona.name == "lina"
    assert "another persona has the name 'her'" in library.faults["may"].why
    with pytest.raises(UnknownPersona):
        library.find("mei")


def test_an_operators_own_folder_takes_its_name_from_a_shipped_persona(tmp_path: Path) -> None:
    write(tmp_path / "shipped", "may", "mei", "maya")
    write(tmp_path / "own", "mei")

    library = load_workflows(tmp_path / "shipped", tmp_path / "own")

    assert not library.faults
    assert [library.find(name).persona.name for name in ("mei", "maya")] == ["mei", "may"]


def test_an_empty_alias_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "may", " ")

    assert "aliases" in load_workflows(tmp_path).faults["may"].why
