"""A worker that gets a signal at the first call of one of its functions, as if by chance there.

    python -m tests.support.interrupted_worker SIGKILL imagegen/pipeline/deliver.py:_send [persona]

Python's trace hook sees each call; nothing of the worker is replaced. With a persona, only calls
for its requests count, and all of them.
"""

import importlib
import os
import signal
import sys
from types import FrameType
from typing import Any

from arq.cli import cli

SETTINGS = "tests.support.quick_recovery.WorkerSettings"


class Interruption:
    """Sends the process a signal where a function is called."""

    def __init__(self, number: signal.Signals, place: str, persona: str | None) -> None:
        self._number = number
        self._file, _, self._name = place.partition(":")
        self._persona = persona

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Look at a call; None is for Python a call whose lines need no look."""
        code = frame.f_code
        if event != "call" or code.co_qualname != self._name:
            return
        if not code.co_filename.endswith(self._file) or not self._is_for(frame.f_locals):
            return
        if self._persona is None:
            sys.settrace(None)
        os.kill(os.getpid(), self._number)

    def _is_for(self, values: dict[str, Any]) -> bool:
        if self._persona is None:
            return True
        return getattr(values.get("request"), "persona", None) == self._persona


if __name__ == "__main__":
    name, place, *persona = sys.argv[1:]
    # With the hook set this takes several times as long, and none of its calls are meant.
    importlib.import_module("imagegen.worker")
    sys.settrace(Interruption(signal.Signals[name], place, persona[0] if persona else None))
    sys.argv = ["arq", SETTINGS]
    cli()
