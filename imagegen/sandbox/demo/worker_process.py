"""The real worker as a process of its own, for the demo."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from imagegen.sandbox.servers.process import LaunchCommand, ServerProcess

# Variables that any program needs; no setting of a real worker is passed on.
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "LD_LIBRARY_PATH")


@contextmanager
def running_worker(directory: Path, settings: Mapping[str, str]) -> Iterator[ServerProcess]:
    """Run `arq imagegen.worker.WorkerSettings` with these settings and no others.

    It gets SIGTERM at the end of the block.
    """
    inherited = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    child = ServerProcess(
        LaunchCommand(
            name="worker",
            directory=directory,
            command=[sys.executable, "-m", "arq", "imagegen.worker.WorkerSettings"],
            environment={**inherited, "PYTHONUNBUFFERED": "1", **settings},
            at_home=True,
        )
    )
    try:
        yield child
    finally:
        child.end(signal.SIGTERM)
