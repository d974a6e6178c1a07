"""Names the extra of the distribution that has to be installed for a command."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
