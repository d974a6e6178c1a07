"""What the doctor finds, as tests ask it: one subject, within a few seconds."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from imagegen import bootstrap
from imagegen.doctor.examination import run_checks
from imagegen.doctor.finding import Check, DoctorFinding, Level
from imagegen.settings import HostSettings, LibrarySettings
from imagegen.workflows.library import Library

TIMEOUT_S = 5.0


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


def host_settings(*addresses: str, **more: Any) -> HostSettings:
    """Make settings of these hosts that read no `.env`."""
    return HostSettings(_env_file=None, comfyui_hosts=",".join(addresses), **more)


async def library(personas_dir: Path | None = None) -> Library:
    """Load the shipped personas, and those of a folder."""
    settings = LibrarySettings(_env_file=None, personas_dir=personas_dir)
    return bootstrap.workflow_library(settings)


def library_of(personas_dir: Path) -> Any:
    return partial(library, personas_dir)
