"""How a command ends with one line on stderr: a fault, or an extra that is not installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


def exit_with(sentence: str, *, code: int) -> NoReturn:
    """End the process with one line on stderr and this code."""
    print(f"imagegen: {sentence}", file=sys.stderr)  # noqa: T201 (the bot's install has no click)
    sys.exit(code)


@contextmanager
def extra(name: str) -> Iterator[None]:
    """End the process with one line that names the extra, if an import of the block is missing.

    A module of ours that is missing is a bug, and its ModuleNotFoundError is raised.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in {"imagegen", "chatflow_hook"}:
            raise
        sys.exit(f"imagegen: {library} is missing: pip install 'chatflow-imagegen[{name}]'")
