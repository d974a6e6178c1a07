"""What the docs refer to is there."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?://)([^)#]+)[^)]*\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_to_a_file(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]

    assert missing == []


def test_each_direct_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = {
        *project["project"]["dependencies"],
        *(one for extra in extras.values() for one in extra),
        *(one for group in project["dependency-groups"].values() for one in group),
    }
    page = (ROOT / "docs" / "decisions" / "0006-dependencies.md").read_text()

    told = set(re.findall(r"^\| `([\w-]+)(?:\[\w+\])?` \|", page, re.MULTILINE))

    assert told | {"chatflow-imagegen"} == {re.split(r"[^\w-]", one)[0] for one in wanted}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_is_linked_and_stands_word_for_word_where_its_name_is_the_link(
    example: Path,
) -> None:
    pages = [page.read_text() for page in PAGES]
    with_its_text = [page for page in pages if f"[{example.name}](examples/{example.name})" in page]

    assert any(f"(examples/{example.name})" in page for page in pages)
    assert all(f"\n```python\n{example.read_text()}```\n" in page for page in with_its_text)


def test_the_first_bot_has_forty_lines() -> None:
    lines = (ROOT / "docs" / "examples" / "aiogram_bot.py").read_text().splitlines()

    assert len([line for line in lines if line]) == 40
