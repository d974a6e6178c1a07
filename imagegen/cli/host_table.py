"""The data of `imagegen hosts`, one row per host, and its output as text and as JSON."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from chatflow_hook import redis_errors
from chatflow_hook.settings import RedisSettings, read
from imagegen.bootstrap import workflow_library
from imagegen.comfy.host_report import GpuDevice, HostReport, ask_hosts
from imagegen.monitoring import host_status
from imagegen.monitoring.host_status import PublishedHost
from imagegen.queue import connections
from imagegen.settings import HostSettings
from imagegen.workflows.library import Library

_GIB = 2**30
# From the best condition of a host to the worst.
_SEVERITY = ("up", "suspect", "aside", "down")
_COLUMNS = ("host", "state", "version", "GPU", "memory", "slots", "queue", "last drew", "can draw")


@dataclass(frozen=True, kw_only=True)
class HostRow:
    """One ComfyUI host.

    Attributes:
        state: `down` if the host does not answer this command, else the worst condition that a
            worker has published, `up` without a worker.
        why: why it is not up, None if it is.
        slots: the slots of all workers on this host, None if there is no worker.
        taken: how many of them are taken, None if there is no worker.
        queue: the number of prompts on the host, of all clients.
        last_drew: the personas that use the model files of the host's last drawing.
        can_draw: the personas for which the host has everything.
        missing: what the host lacks, by persona.
    """

    name: str
    state: str
    why: str | None
    version: str
    devices: tuple[GpuDevice, ...]
    slots: int | None
    taken: int | None
    queue: int
    last_drew: tuple[str, ...]
    can_draw: tuple[str, ...]
    missing: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What `imagegen hosts` has found.

    Attributes:
        rows: one for each host.
        redis_outage: why Redis could not be asked for what the workers know, None if it could.
        persona_faults: why the folder of a persona cannot be loaded, by persona.
    """

    rows: tuple[HostRow, ...]
    redis_outage: str | None
    persona_faults: Mapping[str, str]


def inspect_hosts(*, timeout_s: float) -> Inspection:
    """Ask all hosts at the same time, and read what the workers have published in Redis.

    A host that does not answer within `timeout_s` is a row with the state `down`.

    Raises:
        BadSetting: a variable is missing or wrong, or Redis refuses the password.
    """
    settings = read(_HostsSettings)
    library = workflow_library(settings)
    reports, published, outage = asyncio.run(_reports(settings, timeout_s))
    return Inspection(
        rows=host_rows(reports, published, library),
        redis_outage=outage,
        persona_faults={
            name: f"{fault.sentence} ({fault.file})"
            for name, fault in sorted(library.faults.items())
        },
    )


def host_rows(
    reports: Sequence[HostReport], published: Sequence[PublishedHost], library: Library
) -> tuple[HostRow, ...]:
    """Combine what hosts answer, what workers have published and what workflows require."""
    return tuple(
        _row(report, [host for host in published if host.name == report.name], library)
        for report in reports
    )


def is_well(inspection: Inspection) -> bool:
    """Return whether every host answers, and each persona can be drawn on one host at least."""
    rows = inspection.rows
    personas = {persona for row in rows for persona in (*row.can_draw, *row.missing)}
    drawable = {persona for row in rows for persona in row.can_draw}
    return (
        all(row.state != "down" for row in rows)
        and personas == drawable
        and not inspection.persona_faults
    )


def as_text(inspection: Inspection) -> str:
    """Return the table, and below it why hosts are not up and what they lack."""
    rows, no_worker = inspection.rows, "no worker" if inspection.redis_outage is None else "unknown"
    table = [_COLUMNS, *(_cells(row, no_worker) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(_COLUMNS))]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in table]
    return "\n".join([*lines, *_notes(rows)])


def warnings(inspection: Inspection) -> list[str]:
    """Return a sentence for each thing that is wrong and is not of one host."""
    outage = inspection.redis_outage
    return [
        *([] if outage is None else [f"what the workers know is not shown: {outage}"]),
        *(
            f"{persona} cannot be drawn by any host: {why}"
            for persona, why in inspection.persona_faults.items()
        ),
    ]


def as_json(rows: Sequence[HostRow]) -> list[dict[str, Any]]:
    """Return the same as plain objects; memory in bytes."""
    return [
        {
            "host": row.name,
            "state": row.state,
            "why": row.why,
            "version": row.version,
            "devices": [
                {
                    "name": device.name,
                    "memory": device.memory,
                    "memory_free": device.memory_free,
                }
                for device in row.devices
            ],
            "slots": row.slots,
            "slots_taken": row.taken,
            "queue": row.queue,
            "last_drew": list(row.last_drew),
            "can_draw": list(row.can_draw),
            "lacks": {persona: list(missing) for persona, missing in row.missing.items()},
        }
        for row in rows
    ]


class _HostsSettings(HostSettings, RedisSettings):
    pass


async def _reports(
    settings: _HostsSettings, timeout_s: float
) -> tuple[Sequence[HostReport], Sequence[PublishedHost], str | None]:
    reports, (published, outage) = await asyncio.gather(
        ask_hosts(settings.comfyui_hosts, headers=settings.host_headers, timeout_s=timeout_s),
        _read_published(settings),
    )
    return reports, published, outage


async def _read_published(
    settings: _HostsSettings,
) -> tuple[Sequence[PublishedHost], str | None]:
    """Return what the workers have published, and why that could not be read."""
    place = settings.redis
    outage = await connections.outage(settings)
    if outage is not None:
        return [], outage
    async with connections.silent_connection(place, db=settings.redis_result_db) as redis:
        try:
            return await host_status.read_published(redis), None
        except (RedisError, OSError) as error:
            return [], redis_errors.why(error, place.address, user=place.user)


def _row(report: HostReport, published: Sequence[PublishedHost], library: Library) -> HostRow:
    missing = _missing(report, library)
    worst = max(published, key=lambda host: _severity(host.condition), default=None)
    last_model_sets = {host.model_set for host in published}
    return HostRow(
        name=report.name,
        state="down" if report.fault else worst.condition if worst else "up",
        why=report.fault or (worst.why if worst else None),
        version=report.version,
        devices=report.devices,
        slots=sum(host.slots for host in published) if published else None,
        taken=sum(host.taken for host in published) if published else None,
        queue=report.queue,
        last_drew=tuple(
            sorted(
                persona
                for persona, workflow in library.workflows.items()
                if workflow.requirements.model_set in last_model_sets
            )
        ),
        can_draw=tuple(sorted(persona for persona in missing if not missing[persona])),
        missing={persona: missing[persona] for persona in sorted(missing) if missing[persona]},
    )


def _severity(condition: str) -> int:
    # A condition that only a newer worker knows counts as the worst.
    return _SEVERITY.index(condition) if condition in _SEVERITY else len(_SEVERITY)


def _missing(report: HostReport, library: Library) -> dict[str, tuple[str, ...]]:
    if report.capabilities is None:
        return {}
    return {
        persona: tuple(each.sentence for each in report.capabilities.missing(workflow.requirements))
        for persona, workflow in library.workflows.items()
    }


def _cells(row: HostRow, no_worker: str) -> tuple[str, ...]:
    persona_count = len(row.can_draw) + len(row.missing)
    return (
        row.name,
        row.state,
        row.version or "-",
        ", ".join(device.name for device in row.devices) or "-",
        ", ".join(_memory(device) for device in row.devices) or "-",
        no_worker if row.slots is None else f"{row.taken}/{row.slots}",
        str(row.queue) if persona_count else "-",
        ", ".join(row.last_drew) or "-",
        f"{len(row.can_draw)} of {persona_count}" if persona_count else "-",
    )


def _memory(device: GpuDevice) -> str:
    return f"{device.memory_free / _GIB:.1f}/{device.memory / _GIB:.1f} GiB"


def _notes(rows: Iterable[HostRow]) -> list[str]:
    notes = []
    for row in rows:
        if row.why is not None:
            notes.append(
                f"{row.state}: {row.why}"
                if row.name in row.why
                else f"{row.name} is {row.state}: {row.why}"
            )
        for persona, missing in row.missing.items():
            notes.append(f"{row.name} cannot draw {persona}: {'; '.join(missing)}")
    return ["", *notes] if notes else []
