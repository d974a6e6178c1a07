"""The settings as the docs tell them are the settings as the code reads them."""

import re
from pathlib import Path

import pytest

from chatflow_hook.settings import HookSettings
from imagegen.settings import Settings

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / ".env.example"
PAGE = ROOT / "docs" / "settings.md"

READ = {name.upper() for name in Settings.model_fields}
REQUIRED = {name.upper() for name, field in Settings.model_fields.items() if field.is_required()}


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in READ:
        monkeypatch.delenv(name, raising=False)


def test_the_example_names_every_variable_and_no_other() -> None:
    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE))

    assert named == READ


def test_the_page_names_every_variable_and_no_other() -> None:
    named = re.findall(r"^\| `([A-Z_]+)` \|", PAGE.read_text(), re.MULTILINE)

    assert sorted(named) == sorted(READ)


def test_the_page_says_which_variables_the_bot_needs() -> None:
    bots, _, _ = PAGE.read_text().partition("\n## Worker")
    named = set(re.findall(r"^\| `([A-Z_]+)` \|", bots, re.MULTILINE))

    assert named == {name.upper() for name in HookSettings.model_fields}


def test_the_page_says_which_variables_must_be_set() -> None:
    named = set(re.findall(r"^\| `([A-Z_]+)` \| must be set", PAGE.read_text(), re.MULTILINE))

    assert named == REQUIRED


def test_the_example_is_a_file_of_settings_as_it_stands() -> None:
    settings = Settings(_env_file=EXAMPLE)

    assert [host.name for host in settings.comfyui_hosts] == ["gpu-1:8188", "gpu-2:8188"]


def test_a_default_in_the_example_is_the_default(tmp_path: Path) -> None:
    uncommented = tmp_path / ".env"
    uncommented.write_text(re.sub(r"(?m)^# (?=[A-Z_]+=)(?!REDIS_URL)", "", EXAMPLE.read_text()))

    told, bare = Settings(_env_file=uncommented), Settings(_env_file=EXAMPLE)

    assert told == bare


def test_a_default_on_the_page_is_the_default(tmp_path: Path) -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| `([^`]+)` \|", PAGE.read_text(), re.MULTILINE)
    as_written = tmp_path / ".env"
    as_written.write_text("\n".join([EXAMPLE.read_text(), *(f"{k}={v}" for k, v in rows)]))

    told, bare = Settings(_env_file=as_written), Settings(_env_file=EXAMPLE)

    assert told == bare
