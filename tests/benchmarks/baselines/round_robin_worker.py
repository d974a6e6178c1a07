"""The worker with another choice of hosts: whoever is free takes turns, whatever it has loaded.

What affinity is compared with. The choice is replaced here, since no setting is to spoil it.
"""

import sys
from collections.abc import Sequence

from arq.cli import cli

from imagegen.pool import scheduler
from imagegen.pool.placement import Candidate, choose_host

_turn = {"last": ""}


def next_in_turn(
    candidates: Sequence[Candidate],
    *,
    avoid_host: str | None = None,
    prefer_host: str | None = None,  # noqa: ARG001 (as of the choice that it replaces)
) -> str | None:
    """Name the next free host after the last one, the less taken ones first."""
    free = [each for each in candidates if each.is_free and each.name != avoid_host]
    if not free:
        return None
    fewest = min(each.taken for each in free)
    names = sorted(each.name for each in free if each.taken == fewest)
    _turn["last"] = next((name for name in names if name > _turn["last"]), names[0])
    return _turn["last"]


if __name__ == "__main__":
    if vars(scheduler).get("choose_host") is not choose_host:
        raise SystemExit("hosts are not chosen there any more")
    vars(scheduler)["choose_host"] = next_in_turn
    sys.argv = ["arq", "imagegen.worker.WorkerSettings"]
    cli()
