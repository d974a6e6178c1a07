"""arq's command for our worker; at SIGUSR1 it writes how many asyncio tasks it has.

The number goes to a file named after the process, in the directory TASK_COUNTS.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from arq.cli import cli


def main() -> None:
    """Run the worker, as `arq imagegen.worker.WorkerSettings` does."""
    signal.signal(signal.SIGUSR1, _write_task_count)
    sys.argv = ["arq", "imagegen.worker.WorkerSettings"]
    cli()


def _write_task_count(*_: object) -> None:
    # Signal handlers run in the thread of the event loop, between two of its steps or within one.
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # the loop does not run yet, or no more
        return
    Path(os.environ["TASK_COUNTS"], str(os.getpid())).write_text(str(len(tasks)))


if __name__ == "__main__":
    main()
