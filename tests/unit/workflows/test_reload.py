"""Personas are read anew as a whole, or stay as they were."""

import shutil
from functools import partial
from pathlib import Path

import pytest

from imagegen import resources
from imagegen.workflows.library import load_workflows
from imagegen.workflows.reload import LibraryChange, LibraryNotReloaded, ReloadableLibrary


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shipped = resources.path("workflows")
    for name in ("ash", "lina"):
        shutil.copytree(shipped / name, tmp_path / name)
    for shared in shipped.glob("_*"):
        shutil.copytree(shared, tmp_path / shared.name)
    return tmp_path


async def test_added_changed_and_removed_personas_are_named(folder: Path) -> None:
    library = ReloadableLibrary(partial(load_workflows, folder))
    before = library.current
    shutil.copytree(folder / "ash", folder / "anna")
    shutil.rmtree(folder / "ash")
    toml = folder / "lina" / "persona.toml"
    toml.write_text(toml.read_text().replace('display_name = "', 'display_name = "Dr. ', 1))

    change = await library.reload()

    assert change.removed == ("ash",)
    assert change.changed == ("lina",)
    assert change.added == ("anna",) or "anna" in library.current.faults
    assert sorted(before.workflows) == ["ash", "lina"], "what runs goes on with its files"


async def test_without_a_difference_nothing_is_named(folder: Path) -> None:
    library = ReloadableLibrary(partial(load_workflows, folder))

    assert await library.reload() == LibraryChange(added=(), changed=(), removed=())


async def test_one_broken_folder_changes_nothing(folder: Path) -> None:
    library = ReloadableLibrary(partial(load_workflows, folder))
    before = library.current
    shutil.rmtree(folder / "ash")
    (folder / "lina" / "persona.toml").write_text("nothing = [")

    with pytest.raises(LibraryNotReloaded) as raised:
        await library.reload()

    assert str(folder / "lina" / "persona.toml") in raised.value.sentence
    assert library.current is before


async def test_a_directory_that_is_gone_changes_nothing(folder: Path) -> None:
    library = ReloadableLibrary(partial(load_workflows, folder))
    before = library.current
    shutil.rmtree(folder)

    with pytest.raises(LibraryNotReloaded, match="no such directory"):
        await library.reload()

    assert library.current is before
