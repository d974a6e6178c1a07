"""All subjects at once: what hangs holds up nothing else, and wrong settings stop only their own."""

import asyncio
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import pytest
from pydantic_settings import BaseSettings

from chatflow_hook.settings import read
from imagegen.doctor import clocks, settings, workers
from imagegen.doctor.busy_machine import measured_delay
from imagegen.doctor.examination import DoctorReport, examine, run_checks
from imagegen.doctor.finding import Findings, Level, green, red
from imagegen.errors import Unavailable
from imagegen.monitoring.worker_status import PublishedWorker
from imagegen.settings import Settings
from imagegen.settings_report import SettingsReport, report_settings
from tests.support import doctor

SettingsT = TypeVar("SettingsT", bound=BaseSettings)
GOOD = {
    "DATABASE_URL": "postgresql://bot:hush@localhost/chatflow",
    "TELEGRAM_BOT_TOKEN": "123:hush",
    "COMFYUI_HOSTS": "gpu-1:8188,gpu-2:8188",
}


async def _hangs() -> Findings:
    yield green("the first answer came")
    await asyncio.Event().wait()


async def _holds_on() -> Findings:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.shield(asyncio.sleep(10))
    yield green("never")


async def _fails() -> Findings:
    yield green("the first answer came")
    raise KeyError("hush")


async def _is_away() -> Findings:
    raise Unavailable("the moon is away", code="moon_away")
    yield


async def test_what_was_found_before_a_check_hangs_or_fails_counts() -> None:
    reports = await run_checks({"hangs": _hangs, "fails": _fails, "is away": _is_away}, limit_s=0.1)

    hanging, failing, away = (each.findings for each in reports)
    assert hanging[0] == failing[0] == green("the first answer came")
    assert "no more answer within 0.1 s" in hanging[1].sentence
    assert failing[1].sentence == "the question itself failed: KeyError"
    assert away == (red("the moon is away", "look for moon_away in docs/errors.md"),)


async def test_a_check_that_cannot_be_cancelled_is_left_behind() -> None:
    async with asyncio.timeout(5):
        (report,) = await run_checks({"holds on": _holds_on}, limit_s=0.1)

    assert report.findings[-1].level is Level.RED


async def test_everything_that_hangs_is_told_within_the_limit_and_a_second(tmp_path: Path) -> None:
    await doctor.library()  # its dictionaries are read once in a process
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for _ in range(4)
        ]
        database, redis, host, telegram = silent
        report = await _examined(
            tmp_path,
            database_url=f"postgresql://bot:hush@127.0.0.1:{database}/chat",
            redis_url=f"redis://:hush@127.0.0.1:{redis}",
            comfyui_hosts=f"127.0.0.1:{host}",
            telegram_bot_token="1:hush",
            telegram_api_url=f"http://127.0.0.1:{telegram}",
            prompt_llm_url=f"http://127.0.0.1:{telegram}",
        )

    levels = {each.subject: max(found.level for found in each.findings) for each in report.subjects}
    assert levels == {
        "settings": Level.RED,
        "postgresql": Level.RED,
        "redis": Level.RED,
        "clocks": Level.YELLOW,
        "hosts": Level.RED,
        "personas": Level.GREEN,
        "telegram": Level.RED,
        "language model": Level.YELLOW,
        "image store": Level.GREEN,
        "held back": Level.YELLOW,
        "workers": Level.YELLOW,
    }
    assert max(each.seconds for each in report.subjects) < 6
    assert "hush" not in repr(report)


async def test_on_a_busy_machine_what_is_late_is_not_red(tmp_path: Path) -> None:
    await doctor.library()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        report = await _examined(
            tmp_path,
            is_busy=True,
            database_url=f"postgresql://127.0.0.1:{silent.getsockname()[1]}/chat",
            redis_url="redis://127.0.0.1:1",
            comfyui_hosts="127.0.0.1:1",
            telegram_bot_token="1:hush",
            telegram_api_url="http://127.0.0.1:1",
        )

    found = {each.subject: each.findings[0] for each in report.subjects}
    assert found["postgresql"].level is Level.YELLOW
    assert str(found["postgresql"].advice).startswith("this machine is busy: ask again with --time")
    assert found["redis"].level is Level.RED, "it has refused the connection at once"


async def test_a_delay_of_the_event_loop_is_seen() -> None:
    async with measured_delay() as delay:
        await asyncio.sleep(0)
        time.sleep(0.4)  # noqa: ASYNC251 (this is what it measures)
        await asyncio.sleep(0.1)
        is_too_long = delay.is_too_long

    assert is_too_long


async def test_wrong_settings_stop_only_the_subjects_that_need_them(tmp_path: Path) -> None:
    report = await _examined(
        tmp_path,
        database_url="mysql://hush",
        redis_url="redis://127.0.0.1:1",
        comfyui_hosts="a b",
        telegram_bot_token="1:hush",
        telegram_api_url="http://127.0.0.1:1",
    )

    not_asked = [
        each.subject for each in report.subjects if "was not asked" in each.findings[0].sentence
    ]
    assert not_asked == ["postgresql", "hosts", "held back"]


async def _examined(store: Path, *, is_busy: bool = False, **values: str) -> DoctorReport:
    given = {"image_store": store.as_uri(), **values}

    def read_given(kind: type[SettingsT], /) -> SettingsT:
        return read(kind, _env_file=None, **given)

    return await examine(
        timeout_s=4.0, is_busy=lambda: is_busy, read=read_given, report=_no_settings_report
    )


def _no_settings_report() -> SettingsReport:
    return SettingsReport(settings=(), faults=("nothing",), misspelt=(), env_file=None)


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Leave only the good variables, and no `.env`."""
    for name in (*Settings.model_fields, "bot_token"):
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "level", "sentence", "advice"),
    [
        ({"WEB_PORT": "no"}, Level.RED, "WEB_PORT: got 'no'", "environment"),
        ({"DATABASE_URL": ""}, Level.RED, "DATABASE_URL is not set", "set it in"),
        ({"IMAGE_TRIGGER_MIN": "9"}, Level.RED, "IMAGE_TRIGGER_MAX: got 5", "correct one of them"),
        (
            {"TELEGRAM_BOT_TOKEN": "", "TELEGRAM_TOKEN": "1:hush"},
            Level.YELLOW,
            "TELEGRAM_TOKEN is set and is no setting",
            "if TELEGRAM_BOT_TOKEN is meant",
        ),
        (
            {"DATABASE_URL": "postgresql://chatflow:change-me@db/chat"},
            Level.YELLOW,
            "DATABASE_URL looks like the value of an example",
            "put the real value there",
        ),
        (
            {"MAX_CONCURRENT_GENERATIONS": "3"},
            Level.YELLOW,
            "leaves 1 of 4 slots unused",
            "leave it out",
        ),
        (
            {"REDIS_RESULT_DB": "3"},
            Level.YELLOW,
            "REDIS_BROKER_DB and REDIS_RESULT_DB are both 3",
            "a number of its own",
        ),
        (
            {"REDIS_URL": "redis://cache", "REDIS_PASSWORD": "hush"},
            Level.YELLOW,
            "REDIS_PASSWORD is set and not used",
            "write the password into REDIS_URL",
        ),
        (
            {"PGPASSWORD": "another"},
            Level.YELLOW,
            "PGPASSWORD is set and not used",
            "take one of the two out",
        ),
        (
            {"IMAGE_GENERATION_FREQUENCY": "5"},
            Level.YELLOW,
            "was never used",
            "IMAGE_TRIGGER_MIN",
        ),
    ],
)
async def test_what_is_wrong_or_odd_about_settings_is_told(
    surroundings: pytest.MonkeyPatch,
    variables: Mapping[str, str],
    level: Level,
    sentence: str,
    advice: str,
) -> None:
    for name, value in variables.items():
        surroundings.setenv(name, value)

    told = await doctor.troubles(
        partial(settings.check, report_settings(), partial(read, Settings))
    )

    finding = next(each for each in told if sentence in each.sentence)
    assert finding.level is level
    assert advice in (finding.advice or "")
    assert "hush" not in repr(told)


@pytest.mark.usefixtures("surroundings")
async def test_an_env_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"STOP_GRACE=\xff\xfe")

    report = await examine(timeout_s=1.0)

    assert "cannot be read: it is not UTF-8" in report.subjects[0].findings[0].sentence
    assert report.worst is Level.RED


@pytest.mark.parametrize(
    ("ahead_s", "level", "sentence"),
    [
        ({}, Level.YELLOW, "no other clock could be asked"),
        ({"Redis": 0.1, "PostgreSQL": -0.2}, Level.GREEN, "agrees with Redis, PostgreSQL"),
        ({"Redis": -30.0}, Level.YELLOW, "the clock of Redis is 30 s behind that of this machine"),
        (
            {"Redis": 0.1, "gpu-1": 400.0},
            Level.RED,
            "the clock of gpu-1 is 400 s ahead of that of this machine",
        ),
        (
            {"Redis": -60.0, "gpu-1": -60.5},
            Level.YELLOW,
            "the clock of this machine is 60 s ahead of Redis, gpu-1, which agree",
        ),
    ],
)
def test_which_clock_is_wrong_is_told(
    ahead_s: Mapping[str, float], level: Level, sentence: str
) -> None:
    (finding,) = clocks.compare(ahead_s)

    assert finding.level is level
    assert sentence in finding.sentence


def _worker(name: str, **changes: object) -> PublishedWorker:
    usual = {
        "name": name,
        "version": metadata.version("chatflow-imagegen"),
        "started_at": "2026-11-29T00:00:00Z",
        "is_stopping": False,
        "slots": 2,
        "taken": 1,
        "waiting": 0,
        "hosts": ["gpu-1"],
    }
    return PublishedWorker.model_validate(usual | changes)


def test_no_worker_is_red() -> None:
    (finding,) = workers.compare([])

    assert finding.level is Level.RED
    assert "imagegen worker" in (finding.advice or "")


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (_worker("b", shares_hosts=True), "a, b use the same hosts"),
        (_worker("b", hosts=["gpu-2"], version="0.0.1"), "b has 0.0.1"),
    ],
)
def test_workers_that_do_not_fit_together_are_yellow(other: PublishedWorker, sentence: str) -> None:
    told = [each for each in workers.compare([_worker("a"), other]) if each.level > Level.GREEN]

    assert [each.level for each in told] == [Level.YELLOW]
    assert sentence in told[0].sentence


def test_workers_on_hosts_of_their_own_are_green() -> None:
    findings = list(workers.compare([_worker("a"), _worker("b", hosts=["gpu-2"])]))

    assert [each.level for each in findings] == [Level.GREEN, Level.GREEN]
