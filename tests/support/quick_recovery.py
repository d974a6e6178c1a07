"""A worker whose jobs are found soon after its death: `arq tests.support.quick_recovery.WorkerSettings`."""

from typing import Any

from imagegen import worker
from imagegen.queue.job_lease import RecoveryTimes

TIMES = RecoveryTimes(lease_s=2.0, silent_s=1.0, relay_every_s=0.5, health_s=1.0)


def __getattr__(name: str) -> Any:
    """Create WorkerSettings when arq asks for it, as `imagegen.worker` does."""
    if name != "WorkerSettings":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return worker.from_env(recovery=TIMES)
