"""What `make matrix` installs, and the table that docs/bot.md has of it."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.matrix.combinations import combinations, lowest_versions

ROOT = Path(__file__).parents[3]


def test_the_page_has_a_row_for_each_combination() -> None:
    page = (ROOT / "docs" / "bot.md").read_text()
    rows = re.findall(
        r"^\| (.+?) \| (3\.\d+)[.\d]* \| .+ \| (?:works|wheels found) \|", page, re.MULTILINE
    )

    assert rows == [(each.name, each.python) for each in combinations()]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_each_dependency_of_the_hook_has_one_floor_for_a_python_and_no_upper_bound(
    python: str,
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [Requirement(text) for text in project["dependencies"]]

    lowest = [Requirement(text).name for text in lowest_versions(python)]

    assert sorted(lowest) == sorted({each.name for each in needed})
    assert {mark.operator for each in needed for mark in each.specifier} == {">="}
