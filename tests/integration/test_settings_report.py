"""What is told of each setting: its value without secrets, where it comes from, what is wrong."""

from pathlib import Path

import pytest

from imagegen.settings import Settings
from imagegen.settings_report import SettingReport, SettingsReport, Source, report_settings

GOOD = {
    "DATABASE_URL": "postgresql://bot:hush@localhost/chatflow",
    "TELEGRAM_BOT_TOKEN": "123:hush",
    "COMFYUI_HOSTS": "gpu-1:8188",
}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave only the good variables, and no `.env`."""
    for name in (*Settings.model_fields, "bot_token"):
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def _setting(report: SettingsReport, name: str) -> SettingReport:
    return next(setting for setting in report.settings if setting.name == name)


def test_every_setting_is_told_and_none_is_wrong() -> None:
    report = report_settings()

    assert [each.name.lower() for each in report.settings] == list(Settings.model_fields)
    assert not any(each.fault or each.is_placeholder for each in report.settings)
    assert (report.faults, report.misspelt, report.env_file) == ((), (), None)


def test_the_source_of_a_value_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STOP_GRACE=7\nCOMFYUI_HOSTS=gpu-9\n")

    report = report_settings()

    grace = _setting(report, "STOP_GRACE")
    hosts = _setting(report, "COMFYUI_HOSTS")
    port = _setting(report, "WEB_PORT")
    assert (grace.value, grace.source, grace.is_shadowing) == ("7", Source.FILE, False)
    assert (hosts.value, hosts.source, hosts.is_shadowing) == (
        "gpu-1:8188",
        Source.ENVIRONMENT,
        True,
    )
    assert (port.value, port.source) == ("8080", Source.DEFAULT)
    assert report.env_file == tmp_path / ".env"


def test_an_empty_variable_of_the_environment_does_not_hide_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STOP_GRACE", "")
    (tmp_path / ".env").write_text("STOP_GRACE=7\n")

    assert _setting(report_settings(), "STOP_GRACE").source is Source.FILE


def test_the_old_name_of_a_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TELEGRAM_BOT_TOKEN")
    monkeypatch.setenv("BOT_TOKEN", "456:hush")

    token = _setting(report_settings(), "TELEGRAM_BOT_TOKEN")

    assert (token.set_as, token.source, token.fault) == ("BOT_TOKEN", Source.ENVIRONMENT, None)


@pytest.mark.parametrize(
    ("name", "written", "shown"),
    [
        ("DATABASE_URL", "postgresql://bot:hush@db/chat?sslmode=require", "postgresql://db:5432/chat"),
        ("DATABASE_URL", "hush", "***"),
        ("REDIS_URL", "redis://:hush@cache:6380/3", "redis://cache:6380"),
        ("REDIS_PASSWORD", "hush", "***"),
        ("COMFYUI_HEADERS", '{"X-Key": "hush"}', '{"X-Key": "***"}'),
        ("COMFYUI_HEADERS", "hush", "***"),
        ("PROMPT_LLM_URL", "https://me:hush@llm/v1?key=hush", "https://***@llm/v1?***"),
        ("COMFYUI_HOSTS", "gpu-1:8188,me:hu/sh@gpu-2:8188", "***@gpu-2:8188"),
    ],
)  # fmt: skip
def test_secrets_are_masked(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str, shown: str
) -> None:
    monkeypatch.setenv(name, written)

    report = report_settings()

    setting = _setting(report, name)
    assert (setting.value, setting.is_masked) == (shown, True)
    assert "hush" not in repr(report)


def test_a_fault_is_told_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_PORT", "no")
    monkeypatch.delenv("DATABASE_URL")

    report = report_settings()

    assert _setting(report, "WEB_PORT").fault == "WEB_PORT: got 'no', must be a port, 1 to 65535, or 0 for none"  # fmt: skip
    assert (_setting(report, "DATABASE_URL").fault or "").startswith("DATABASE_URL is not set")


def test_settings_that_do_not_fit_together_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_TRIGGER_MIN", "9")

    assert report_settings().faults == (
        "IMAGE_TRIGGER_MAX: got 5, must be at least IMAGE_TRIGGER_MIN, which is 9",
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("COMFYUI_HOST", "COMFYUI_HOSTS"),
        ("TELEGRAM_TOKEN", "TELEGRAM_BOT_TOKEN"),
        ("PROMPT_LLM_KEY", "PROMPT_LLM_API_KEY"),
        ("MAX_CONCURENT_GENERATIONS", "MAX_CONCURRENT_GENERATIONS"),
        ("IMAGES_STORE", "IMAGE_STORE"),
    ],
)
def test_a_misspelt_name_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str, meant: str
) -> None:
    monkeypatch.delenv(meant, raising=False)
    (tmp_path / ".env").write_text(f"{written}=1\n")

    (misspelt,) = report_settings().misspelt

    assert (misspelt.name, misspelt.meant, misspelt.source) == (written, meant, Source.FILE)


def test_names_of_others_are_not_taken_for_misspelt(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "REDIS_PORT_6379_TCP", "TELEGRAM_BOT_NAME", "REDIS_DB"):
        monkeypatch.setenv(name, "1")
    # The setting that it is like is set, so this one belongs to somebody else.
    monkeypatch.setenv("COMFYUI_HOST", "1")

    assert report_settings().misspelt == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://chatflow:change-me@localhost:5432/chatflow"),
        ("TELEGRAM_BOT_TOKEN", "123456789:replace-with-the-token-from-BotFather"),
        ("TELEGRAM_BOT_TOKEN", "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"),
        ("REDIS_PASSWORD", "<password>"),
        ("PROMPT_LLM_URL", "https://llm.example.com/v1"),
        ("PROMPT_LLM_API_KEY", "${LLM_KEY}"),
    ],
)
def test_what_stands_in_examples_is_a_placeholder(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    assert _setting(report_settings(), name).is_placeholder
