"""The output of `imagegen hosts`, as tables and as JSON; pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from imagegen.cli.host_inspection import HostRow, Inspection
from imagegen.cli.output import Table
from imagegen.comfy.host_report import GpuDevice

_GIB = 2**30
_COLUMNS = (
    *("host", "state", "version", "GPU", "memory"),
    *("slots", "queue", "last drew", "can draw", "use"),
)


def as_blocks(inspection: Inspection) -> "list[Table | str]":
    """Return the table, and below it why hosts are not up, what they lack, and notes of operators."""
    no_worker = "no worker" if inspection.redis_outage is None else "unknown"
    table = Table(columns=_COLUMNS, rows=[_cells(row, no_worker) for row in inspection.rows])
    notes = [
        *_notes(inspection.rows),
        *(
            f"{name} is in COMFYUI_HOSTS and was removed: `imagegen hosts add {name}` uses it again"
            for name in inspection.removed
        ),
    ]
    return [table, "\n".join(notes)] if notes else [table]


def warnings(inspection: Inspection) -> list[str]:
    """Return a sentence for each thing that is wrong and is not of one host."""
    outage = inspection.redis_outage
    return [
        *([] if outage is None else [f"what the workers know is not shown: {outage}"]),
        *inspection.unread,
        *([] if inspection.unshared is None else [f"{inspection.unshared}: see `imagegen doctor`"]),
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
            "use": row.use,
            "note": row.note,
        }
        for row in rows
    ]


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
        row.use,
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
        if row.note is not None:
            notes.append(f"{row.name} is {row.use}: {row.note}")
    return notes
