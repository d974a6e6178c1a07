"""Asks about all subjects at once, each for a limited time, however many of them hang."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

from pydantic_settings import BaseSettings

from chatflow_hook import settings as shared_settings
from chatflow_hook.settings import BadSetting, RedisSettings
from imagegen.bootstrap import workflow_library
from imagegen.doctor import (
    clocks,
    held_back,
    hosts,
    image_store,
    language_model,
    personas,
    postgresql,
    redis,
    settings,
    telegram,
    workers,
)
from imagegen.doctor.busy_machine import measured_delay
from imagegen.doctor.finding import Check, DoctorFinding, Findings, Level, red, yellow
from imagegen.errors import ImagegenError
from imagegen.monitoring.known_hosts import KnownHosts, read_known_hosts
from imagegen.settings import (
    CostSettings,
    DatabaseSettings,
    HostSettings,
    LibrarySettings,
    PictureSettings,
    Settings,
    StoreSettings,
    TelegramSettings,
)
from imagegen.settings_report import SettingsReport, report_settings
from imagegen.workflows.library import Library

SettingsT = TypeVar("SettingsT", bound=BaseSettings)
ResultT = TypeVar("ResultT")

# A check has limits of its own, and this long to say what it has found by then.
_ANSWER_WITHIN_S = 0.5
# A third of all time goes at most into looking up which hosts there are.
_PART_FOR_LOOKING_UP = 3
# A frozen server may hold up the closing of a connection as well.
_CANCEL_WITHIN_S = 0.5
# A subject that took this share of the time has waited for something in vain.
_LATE_SHARE = 0.5


class ReadSettings(Protocol):
    """Reads settings of a class; raises BadSetting if a variable is missing or wrong."""

    def __call__(self, kind: type[SettingsT], /) -> SettingsT: ...


@dataclass(frozen=True, kw_only=True)
class SubjectReport:
    """What was found about one subject, in how many seconds."""

    subject: str
    findings: tuple[DoctorFinding, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class DoctorReport:
    """Everything that was found. `settings` is None if they could not be read at all."""

    subjects: tuple[SubjectReport, ...]
    settings: SettingsReport | None
    seconds: float

    @property
    def findings(self) -> list[DoctorFinding]:
        """The findings about all subjects."""
        return [finding for each in self.subjects for finding in each.findings]

    @property
    def worst(self) -> Level:
        """The level of the worst finding."""
        return max(finding.level for finding in self.findings)


async def examine(
    *,
    timeout_s: float,
    send_to: int | None = None,
    is_busy: Callable[[], bool] | None = None,
    read: ReadSettings = shared_settings.read,
    report: Callable[[], SettingsReport] = report_settings,
) -> DoctorReport:
    """Ask about everything at once, in `timeout_s` and at most a second more; it raises nothing.

    Nothing is drawn, and nothing is sent but a test message to the chat `send_to`, if there is one.
    `is_busy` says whether this machine is too busy to tell who is silent; None measures it.
    """
    started = time.monotonic()
    settings_report: SettingsReport | None = None
    settings_check: Check
    try:
        settings_report = report()
    except (OSError, ValueError) as error:
        settings_check = partial(settings.unreadable, error)
    else:
        settings_check = partial(settings.check, settings_report, lambda: read(Settings))
    checks: dict[str, Check] = {
        "settings": settings_check,
        **_checks(read, timeout_s=timeout_s, send_to=send_to),
    }
    limit_s = timeout_s + _ANSWER_WITHIN_S
    async with measured_delay() as delay:
        subjects = await run_checks(checks, limit_s=limit_s)
        if is_busy() if is_busy is not None else delay.is_too_long:
            subjects = tuple(_of_busy_machine(each, timeout_s=timeout_s) for each in subjects)
    return DoctorReport(
        subjects=subjects,
        settings=settings_report,
        seconds=round(time.monotonic() - started, 1),
    )


def _of_busy_machine(report: SubjectReport, *, timeout_s: float) -> SubjectReport:
    """Take back what was found to be red only after a wait: nobody knows who was late."""
    if report.seconds < _LATE_SHARE * timeout_s:
        return report
    advice = f"this machine is busy: ask again with --timeout {max(30, round(4 * timeout_s))}"
    return replace(
        report,
        findings=tuple(
            yellow(finding.sentence, f"{advice}; if it says so again: {finding.advice}")
            if finding.level is Level.RED
            else finding
            for finding in report.findings
        ),
    )


async def run_checks(checks: Mapping[str, Check], *, limit_s: float) -> tuple[SubjectReport, ...]:
    """Run all checks at the same time; it raises nothing.

    A check that takes longer than `limit_s` is cancelled, and what it has found by then counts.
    """
    reports = (_run_check(subject, check, limit_s) for subject, check in checks.items())
    return tuple(await asyncio.gather(*reports))


def _checks(read: ReadSettings, *, timeout_s: float, send_to: int | None) -> Mapping[str, Check]:
    database = _read_or_none(read, DatabaseSettings)
    place = _read_or_none(read, RedisSettings)
    fleet = _read_or_none(read, HostSettings)
    chat = _read_or_none(read, TelegramSettings)
    pictures = _read_or_none(read, PictureSettings)
    store = _read_or_none(read, StoreSettings)
    costs = _read_or_none(read, CostSettings)
    library = _shared_library(_read_or_none(read, LibrarySettings))
    known_hosts = None if fleet is None else _shared_known_hosts(fleet, place, database, timeout_s)

    checks: dict[str, Check | None] = {
        "postgresql": None
        if database is None
        else partial(postgresql.check, database.database_url, timeout_s=timeout_s),
        "redis": None if place is None else partial(redis.check, place),
        "clocks": partial(
            clocks.check,
            database=database,
            redis=place,
            fleet=fleet,
            known_hosts=known_hosts,
            timeout_s=timeout_s,
        ),
        "hosts": None
        if fleet is None or known_hosts is None
        else partial(hosts.check, fleet, library, known_hosts, timeout_s=timeout_s),
        "personas": partial(personas.check, library),
        "telegram": None
        if chat is None
        else partial(telegram.check, chat, send_to=send_to, timeout_s=timeout_s),
        "language model": None
        if pictures is None
        else partial(language_model.check, pictures, library, timeout_s=timeout_s),
        "image store": None if store is None else partial(image_store.check, store),
        "held back": None
        if database is None or costs is None
        else partial(held_back.check, database, costs, timeout_s=timeout_s),
        "workers": None if place is None else partial(workers.check, place),
    }
    return {subject: check or _not_asked for subject, check in checks.items()}


def _read_or_none(read: ReadSettings, kind: type[SettingsT]) -> SettingsT | None:
    try:
        return read(kind)
    except (BadSetting, OSError, UnicodeDecodeError):  # the check of the settings says it
        return None


def _shared_library(wanted: LibrarySettings | None) -> Callable[[], Awaitable[Library]]:
    """Return what gives the personas, which are loaded once, in a thread, for all who ask."""
    directories = wanted or LibrarySettings.model_construct()
    return _shared(lambda: asyncio.to_thread(workflow_library, directories))


def _shared_known_hosts(
    fleet: HostSettings,
    place: RedisSettings | None,
    database: DatabaseSettings | None,
    timeout_s: float,
) -> Callable[[], Awaitable[KnownHosts]]:
    """Return what gives the hosts that the workers use, which are looked up once for all who ask."""
    look_up = partial(
        read_known_hosts,
        fleet,
        database_url=None if database is None else database.database_url,
        # A server that hangs leaves the hosts the rest of the time.
        timeout_s=timeout_s / _PART_FOR_LOOKING_UP,
    )

    async def known_hosts() -> KnownHosts:
        try:
            return await look_up(redis=place)
        except BadSetting:  # the check of Redis says it
            return await look_up(redis=None)

    return _shared(known_hosts)


def _shared(
    make: Callable[[], Coroutine[Any, Any, ResultT]],
) -> Callable[[], Awaitable[ResultT]]:
    """Return what gives the result of `make`, which is called once for all who ask."""
    making: list[asyncio.Task[ResultT]] = []

    def result() -> Awaitable[ResultT]:
        if not making:
            making.append(asyncio.create_task(make(), name="doctor looks up for several subjects"))
        return asyncio.shield(making[0])

    return result


async def _not_asked() -> Findings:
    yield yellow("this was not asked, since its settings are wrong", "correct the settings first")


async def _run_check(subject: str, check: Check, limit_s: float) -> SubjectReport:
    findings: list[DoctorFinding] = []

    async def collect() -> None:
        async with aclosing(check()) as found:
            async for finding in found:
                findings.append(finding)  # noqa: PERF401 (at once, for what is found by the limit)

    started = time.monotonic()
    task = asyncio.create_task(collect(), name=f"doctor asks about {subject}")
    await asyncio.wait({task}, timeout=limit_s)
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_WITHIN_S)
        findings.append(
            red(
                f"no more answer within {limit_s:g} s",
                "see whether it hangs, or is behind a firewall",
            )
        )
    elif (error := task.exception()) is not None:
        findings.append(_of_error(error))
    return SubjectReport(
        subject=subject,
        findings=tuple(findings),
        seconds=round(time.monotonic() - started, 1),
    )


def _of_error(error: BaseException) -> DoctorFinding:
    if isinstance(error, ImagegenError):
        return red(error.sentence, f"look for {error.code} in docs/errors.md")
    return red(
        f"the question itself failed: {type(error).__name__}", "tell the developers of this project"
    )
