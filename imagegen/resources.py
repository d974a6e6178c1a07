"""Finds the files that are shipped with the code, workflows and migrations, and their version.

The files lie beside the package in a checkout, and in its folder `_shipped` in a wheel.
"""

import functools
from importlib import metadata
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_SHIPPED = _PACKAGE / "_shipped"


def path(name: str) -> Path:
    """Return the path of `workflows`, `alembic` or `alembic.ini`.

    Raises:
        FileNotFoundError: it was not shipped with this installation.
    """
    # Never look beside an installed package: site-packages contains the library `alembic`.
    root = _SHIPPED if _SHIPPED.is_dir() else _PACKAGE.parent
    found = root / name
    if not found.exists():
        raise FileNotFoundError(f"{name} did not travel with the project: {found} is not there")
    return found


@functools.cache
def version() -> str:
    """Return the version of the installed distribution, read once: it takes a millisecond."""
    return metadata.version("chatflow-imagegen")
