"""What the doctor finds, as tests ask it: one subject, within a few seconds."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from chatflow_hook.settings import RedisSettings
from imagegen import bootstrap
from imagegen.doctor import hosts
from imagegen.doctor.examination import run_checks
from imagegen.doctor.finding import Check, DoctorFinding, Level
from imagegen.monitoring.known_hosts import KnownHosts, read_known_hosts
from imagegen.pool.dns_records import DnsResolver
from imagegen.settings import HostSettings, LibrarySettings
from imagegen.workflows.library import Library

TIMEOUT_S = 15.0


async def found(check: Check, *, limit_s: float = TIMEOUT_S) -> Sequence[DoctorFinding]:
    """Return what a check yields."""
    (report,) = await run_checks({"subject": check}, limit_s=limit_s)
    assert report.findings, "each subject says something"
    assert all(finding.advice for finding in report.findings if finding.level > Level.GREEN)
    return report.findings


async def troubles(check: Check, *, limit_s: float = TIMEOUT_S) -> list[DoctorFinding]:
    """Return what a check yields that is not green."""
    return [each for each in await found(check, limit_s=limit_s) if each.level > Level.GREEN]


async def trouble(check: Check, *, limit_s: float = TIMEOUT_S) -> DoctorFinding:
    """Return the only thing that a check yields that is not green."""
    (finding,) = await troubles(check, limit_s=limit_s)
    return finding


def hosts_check(
    settings: HostSettings,
    *,
    database_url: str | None = None,
    redis_url: str | None = None,
    resolver: DnsResolver | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Check:
    """Return the check of the hosts, with those that these servers know."""
    known = known_hosts(settings, database_url, redis_url, resolver, timeout_s)
    return partial(hosts.check, settings, library, known, timeout_s=timeout_s)


def known_hosts(
    settings: HostSettings,
    database_url: str | None = None,
    redis_url: str | None = None,
    resolver: DnsResolver | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Callable[[], Awaitable[KnownHosts]]:
    """Return what looks up the hosts that these servers know."""
    return partial(
        read_known_hosts,
        settings,
        redis=None if redis_url is None else RedisSettings(_env_file=None, redis_url=redis_url),
        database_url=None if database_url is None else SecretStr(database_url),
        timeout_s=timeout_s / 3,
        resolver=resolver,
    )


def host_settings(*addresses: str, **more: Any) -> HostSettings:
    """Make settings of these hosts that read no `.env`."""
    return HostSettings(_env_file=None, comfyui_hosts=",".join(addresses), **more)


async def library(personas_dir: Path | None = None) -> Library:
    """Load the shipped personas, and those of a folder."""
    settings = LibrarySettings(_env_file=None, personas_dir=personas_dir)
    return bootstrap.workflow_library(settings)


def library_of(personas_dir: Path) -> Any:
    return partial(library, personas_dir)
