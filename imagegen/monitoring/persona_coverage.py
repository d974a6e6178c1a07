"""Logs which personas cannot be drawn on which hosts, at the start and at each change."""

from collections.abc import Mapping

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

    async def step(self) -> None:
        """Log each persona for which something has changed since the last call."""
        host_count = len(self._pool.status())
        workflows = self._library.current.workflows
        self._logged = {name: each for name, each in self._logged.items() if name in workflows}
        for persona, workflow in workflows.items():
            missing_by_host = {
                host: missing
                for host, missing in self._pool.missing(workflow.requirements).items()
                if missing
            }
            if missing_by_host != self._logged.get(persona, {}):
                self._logged[persona] = missing_by_host
                _log_coverage(persona, workflow, missing_by_host, host_count=host_count)


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
