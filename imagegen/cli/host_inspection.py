"""What `imagegen hosts` finds: hosts, workers, orders and personas, one row for each host."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from chatflow_hook.settings import DatabaseURL, PGPassword, RedisSettings, read
from imagegen.bootstrap import workflow_library
from imagegen.comfy.host_report import GpuDevice, HostReport, ask_hosts
from imagegen.db.tables import HostUse
from imagegen.monitoring import worker_status
from imagegen.monitoring.host_status import PublishedHost
from imagegen.monitoring.known_hosts import KnownHosts, read_known_hosts
from imagegen.settings import HostList, HostSettings
from imagegen.workflows.library import Library

# From the best condition of a host to the worst.
_SEVERITY = ("up", "suspect", "aside", "down")


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
        use: how the workers use it, `active`, `draining` or `removed`: removed as long as a worker
            still waits for its prompts.
        note: what an operator has noted of it.
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
    use: str = HostUse.ACTIVE
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What `imagegen hosts` has found.

    Attributes:
        rows: one for each host.
        removed: the hosts of COMFYUI_HOSTS that an operator has removed, and that are no rows.
        unread: what could not be read, a sentence for each: orders in PostgreSQL, DNS names.
        unshared: which workers do not count each other's slots, None if all do.
        redis_outage: why Redis could not be asked for what the workers know, None if it could.
        persona_faults: why the folder of a persona cannot be loaded, by persona.
    """

    rows: tuple[HostRow, ...]
    removed: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    unshared: str | None = None
    redis_outage: str | None
    persona_faults: Mapping[str, str]


def inspect_hosts(*, timeout_s: float) -> Inspection:
    """Ask all hosts at the same time, and read what the workers have published in Redis.

    The hosts are those of COMFYUI_HOSTS, of the orders in PostgreSQL if DATABASE_URL is set, and of
    the workers. A host that does not answer within `timeout_s` is a row with the state `down`.

    Raises:
        BadSetting: a variable is missing or wrong, or Redis refuses the password.
    """
    settings = read(HostsSettings)
    library = workflow_library(settings)
    return asyncio.run(_inspect(settings, library, timeout_s))


async def _inspect(settings: "HostsSettings", library: Library, timeout_s: float) -> Inspection:
    known = await known_hosts(settings, timeout_s=timeout_s)
    removed = known.removed
    asked = [address for name, address in known.addresses.items() if name not in removed]
    reports = await ask_hosts(asked, headers=settings.host_headers, timeout_s=timeout_s)
    return Inspection(
        rows=tuple(
            replace(row, use=known.use_of(row.name), note=known.note_of(row.name))
            for row in host_rows(
                reports,
                known.published,
                library,
                are_shared=worker_status.are_shared(known.workers),
            )
        ),
        removed=tuple(sorted(removed & {each.name for each in settings.host_addresses})),
        unread=_unread(known),
        unshared=worker_status.why_unshared(known.workers),
        redis_outage=known.redis_outage,
        persona_faults={
            name: f"{fault.sentence} ({fault.file})"
            for name, fault in sorted(library.faults.items())
        },
    )


def host_rows(
    reports: Sequence[HostReport],
    published: Sequence[PublishedHost],
    library: Library,
    *,
    are_shared: bool,
) -> tuple[HostRow, ...]:
    """Combine what hosts answer, what workers have published and what workflows require.

    `are_shared`: the workers count each other's slots.
    """
    return tuple(
        _row(
            report,
            [host for host in published if host.name == report.name],
            library,
            are_shared=are_shared,
        )
        for report in reports
    )


def is_well(inspection: Inspection) -> bool:
    """Return whether every host that is used answers, and each persona can be drawn on one host at least."""
    rows = inspection.rows
    personas = {persona for row in rows for persona in (*row.can_draw, *row.missing)}
    drawable = {persona for row in rows for persona in row.can_draw}
    return (
        all(row.state != "down" for row in rows if row.use == HostUse.ACTIVE)
        and personas == drawable
        and not inspection.persona_faults
    )


class HostsSettings(HostSettings, RedisSettings):
    """What it takes to find all hosts; without a database those of the orders are not found."""

    pgpassword: PGPassword = None
    database_url: DatabaseURL | None = None


class HostNamesSettings(HostsSettings):
    """The same without COMFYUI_HOSTS, for a machine that need not have the workers' settings."""

    comfyui_hosts: HostList = ()


async def known_hosts(settings: HostsSettings, *, timeout_s: float) -> KnownHosts:
    """Read which hosts anybody knows, each source within `timeout_s`.

    Raises:
        BadSetting: Redis refuses the password, or has no database of one of the numbers.
    """
    return await read_known_hosts(
        settings, redis=settings, database_url=settings.database_url, timeout_s=timeout_s
    )


def _unread(known: KnownHosts) -> tuple[str, ...]:
    """Return what could not be read, a sentence for each."""
    orders = known.orders_fault
    return (
        *(f"hosts of {name} are not shown: {why}" for name, why in known.dns_faults.items()),
        *(
            [f"the hosts that were added or drained are not shown: {orders}"]
            if orders is not None
            else []
        ),
    )


def _row(
    report: HostReport, published: Sequence[PublishedHost], library: Library, *, are_shared: bool
) -> HostRow:
    missing = _missing(report, library)
    worst = max(published, key=lambda host: _severity(host.condition), default=None)
    last_model_sets = {host.model_set for host in published}
    return HostRow(
        name=report.name,
        state="down" if report.fault else worst.condition if worst else "up",
        why=report.fault or (worst.why if worst else None),
        version=report.version,
        devices=report.devices,
        slots=_slots(published, are_shared=are_shared) if published else None,
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


def _slots(published: Sequence[PublishedHost], *, are_shared: bool) -> int:
    """Return the slots of a host: together those of all workers, unless they share them."""
    slots = [host.slots for host in published]
    return max(slots) if are_shared else sum(slots)


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
