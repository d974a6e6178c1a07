"""Census: says which personas no host can draw, at the start and whenever that changes."""

from collections.abc import Mapping

import structlog

from imagegen.comfy.capabilities import Missing
from imagegen.pool.pool import Pool
from imagegen.workflows.library import Library, Workflow

log = structlog.get_logger(__name__)

COVERAGE_EVERY_S = 2.0


class PersonaCoverage:
    """Compares what workflows need with what hosts have, as far as that is known."""

    def __init__(self, library: Library, pool: Pool) -> None:
        self._library = library
        self._pool = pool
        self._told: dict[str, Mapping[str, tuple[Missing, ...]]] = {}

    async def step(self) -> None:
        """Tell of what has changed; a host of unknown stock may have everything."""
        hosts = len(self._pool.status())
        for persona, workflow in self._library.workflows.items():
            lacks = {
                host: lack
                for host, lack in self._pool.missing(workflow.requirements).items()
                if lack
            }
            if lacks != self._told.get(persona, {}):
                self._told[persona] = lacks
                _tell(persona, workflow, lacks, hosts=hosts)


def _tell(
    persona: str, workflow: Workflow, lacks: Mapping[str, tuple[Missing, ...]], *, hosts: int
) -> None:
    missing = {host: [lack.sentence for lack in found] for host, found in lacks.items()}
    facts = {"persona": persona, "file": str(workflow.path), "missing": missing}
    if not lacks:
        log.info("every host can draw this persona again", persona=persona)
    elif len(lacks) == hosts:
        log.error("no host can draw this persona", **facts)
    else:
        log.warning("not every host can draw this persona", **facts)
