"""Survey: says in the log which personas the hosts cannot draw, and for want of what."""

from collections.abc import Mapping

import structlog

from imagegen.comfy.pool import Pool
from imagegen.comfy.stock import Lack
from imagegen.workflows import Library, Workflow

log = structlog.get_logger(__name__)

EVERY_S = 1.0

Lacks = Mapping[str, tuple[Lack, ...]]


class Survey:
    """Looks at all workflows again and again, since hosts come and files are put in place.

    What has been said is not said again before it changes.
    """

    def __init__(self, library: Library, pool: Pool) -> None:
        self._library = library
        self._pool = pool
        self._told: dict[str, Lacks] = {}

    async def step(self) -> None:
        """Say what is new."""
        hosts = len(self._pool.status())
        for name, workflow in self._library.workflows.items():
            known = self._pool.lacks(workflow.needs)
            lacking = {host: lacks for host, lacks in known.items() if lacks}
            if lacking != self._told.get(name, {}):
                self._told[name] = lacking
                _tell(name, workflow, lacking, can_some=len(lacking) < hosts)


def _tell(name: str, workflow: Workflow, lacking: Lacks, *, can_some: bool) -> None:
    # Folder and file: where the rest of the path leads is nobody's business who reads logs.
    file = "/".join(workflow.path.parts[-2:])
    lacks = {host: [lack.sentence for lack in missing] for host, missing in lacking.items()}
    if not lacking:
        log.info("every host can draw the persona now", persona=name, file=file)
    elif can_some:
        log.warning("some hosts cannot draw a persona", persona=name, file=file, lacks=lacks)
    else:
        log.error("no host can draw a persona", persona=name, file=file, lacks=lacks)
