"""What travels with the project is found."""

import pytest

from imagegen import resources


@pytest.mark.parametrize("name", ["alembic.ini", "alembic", "workflows"])
def test_what_travels_with_the_project_is_found(name: str) -> None:
    assert resources.path(name).exists()


def test_what_did_not_travel_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="holidays did not travel"):
        resources.path("holidays")


def test_the_migrations_are_ours_and_not_the_library() -> None:
    assert (resources.path("alembic") / "env.py").exists()
    assert not (resources.path("alembic") / "__init__.py").exists()
