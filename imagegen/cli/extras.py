"""Which extra of the distribution a command's imports come with, said in a sentence."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str) -> Iterator[None]:
    """End with a sentence if the imports of the block are not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in {"imagegen", "chatflow_hook"}:
            raise
        sys.exit(f"imagegen: {library} is missing: pip install 'chatflow-imagegen[{name}]'")
