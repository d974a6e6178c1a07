"""Finds what travels with the project: workflows and migrations, in a checkout or a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_IN_A_WHEEL = _PACKAGE / "_shipped"


def path(name: str) -> Path:
    """Return where `workflows`, `alembic` or `alembic.ini` is. Raises FileNotFoundError."""
    # Never beside an installed package: site-packages holds the library `alembic` there.
    root = _IN_A_WHEEL if _IN_A_WHEEL.is_dir() else _PACKAGE.parent
    found = root / name
    if not found.exists():
        raise FileNotFoundError(f"{name} did not travel with the project: {found} is not there")
    return found
