"""Which personas cannot be drawn and why, for the log at each change and for /readyz."""

from collections.abc import Collection, Mapping

import structlog

from imagegen.comfy.capabilities import Missing
from imagegen.pool.pool import Pool
from imagegen.workflows.library import Workflow
from imagegen.workflows.reload import ReloadableLibrary

# Only changes, see imagegen/log_repeats.py.
log = structlog.get_logger(f"{__name__}.changes")

COVERAGE_EVERY_S = 2.0


class PersonaCoverage:
    """Compares what the workflows require with what the hosts have.

    A host whose node classes and models are not known yet is taken for one that has everything.
    """

    def __init__(self, library: ReloadableLibrary, pool: Pool) -> None:
        self._library = library
        self._pool = pool
        self._logged: dict[str, Mapping[str, tuple[Missing, ...]]] = {}
        self._faults: Mapping[str, str] = {}
        self._drawable_count = 0

    async def step(self) -> None:
        """Compare once, and log each persona for which something has changed since the last call."""
        hosts = self._pool.status()
        usable = {host.name for host in hosts if host.is_usable}
        library = self._library.current
        self._logged = {n: each for n, each in self._logged.items() if n in library.workflows}
        faults = {name: fault.sentence for name, fault in library.faults.items()}
        for persona, workflow in library.workflows.items():
            missing_by_host = {
                host: missing
                for host, missing in self._pool.missing(workflow.requirements).items()
                if missing
            }
            if missing_by_host != self._logged.get(persona, {}):
                self._logged[persona] = missing_by_host
                _log_coverage(persona, workflow, missing_by_host, host_count=len(hosts))
            # While no host is usable that is what is wrong, whatever they have.
            if usable and usable <= missing_by_host.keys():
                faults[persona] = _fault(missing_by_host, usable)
        self._faults = faults
        self._drawable_count = len({*library.workflows} - {*faults})

    async def why_none(self) -> str | None:
        """Return why no persona at all can be drawn, None if one can; a check of readiness."""
        return None if self._drawable_count or not self._faults else await self.why_not_all()

    async def why_not_all(self) -> str | None:
        """Return which personas cannot be drawn and why, None if all can; a check of readiness."""
        sentences = (f"{name} cannot be drawn: {why}" for name, why in sorted(self._faults.items()))
        return "; ".join(sentences) or None


def _fault(missing_by_host: Mapping[str, tuple[Missing, ...]], usable: Collection[str]) -> str:
    """Return what one host lacks, with the words for the others."""
    host = min(usable)
    others = f", and {len(usable) - 1} more cannot draw it" if len(usable) > 1 else ""
    lacks = ", ".join(each.sentence for each in missing_by_host[host])
    return f"{host}: {lacks}{others} (`imagegen hosts` says who lacks what)"


def _log_coverage(
    persona: str,
    workflow: Workflow,
    missing_by_host: Mapping[str, tuple[Missing, ...]],
    *,
    host_count: int,
) -> None:
    sentences = {
        host: [each.sentence for each in missing] for host, missing in missing_by_host.items()
    }
    facts = {"persona": persona, "file": str(workflow.path), "missing": sentences}
    if not missing_by_host:
        log.info("every host can draw this persona again", persona=persona)
    elif len(missing_by_host) == host_count:
        log.error("no host can draw this persona", **facts)
    else:
        log.warning("not every host can draw this persona", **facts)
