"""An environment for each combination, made by pip as its user would; needs the package index."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.matrix.combinations import ROOT

# The Python that has made .venv has pip; .venv itself has none.
_BASE_PYTHON = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
_PIP = (str(_BASE_PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input")


class CommandFailed(Exception):
    """A command has failed; the message is the end of what it said."""


def find_python(version: str) -> Path | None:
    """Return an interpreter of this version, such as "3.12": on the PATH, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    on_path = shutil.which(f"python{version}")
    candidates = [
        *([Path(on_path)] if on_path else []),
        *sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}")),
    ]
    return next((each for each in candidates if _runs(each)), None)


def _runs(python: Path) -> bool:
    # pyenv has a command for each version, which fails if that version is not chosen.
    ended = subprocess.run([python, "-c", ""], capture_output=True, check=False)
    return ended.returncode == 0


async def build_wheel(home: Path) -> Path:
    """Build the project's wheel in a directory."""
    await run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(home)])
    (wheel,) = home.glob("*.whl")
    return wheel


async def install(python: Path, wheel: Path, requirements: Sequence[str], home: Path) -> Path:
    """Make an environment in a directory and install wheel and requirements; return its Python.

    Raises:
        CommandFailed: they do not go together, or pip could not fetch them.
    """
    await run([str(python), "-m", "venv", "--without-pip", str(home)])
    there = home / "bin" / "python"
    pip = [*_PIP, "--python", str(there), "install", "--quiet", "--no-compile"]
    await run([*pip, str(wheel), *requirements])
    return there


async def resolve(version: str, wheel: Path, requirements: Sequence[str]) -> Mapping[str, str]:
    """Return which versions pip would install on a Python that is not here, from wheels alone.

    Raises:
        CommandFailed: they do not go together, or one has no wheel.
    """
    options = ["--dry-run", "--quiet", "--report", "-", "--only-binary", ":all:"]
    target = ["--target", str(wheel.parent / "nowhere"), "--python-version", version]
    said = await run([*_PIP, "install", *options, *target, str(wheel), *requirements])
    installed = [each["metadata"] for each in json.loads(said)["install"]]
    return {each["name"].lower(): each["version"] for each in installed}


async def run(command: Sequence[str], **variables: str) -> str:
    """Run a command in the checkout and return its stdout; `variables` come to the environment.

    Raises:
        CommandFailed: it ended with another code than 0.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, "PIP_USER": "0", **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = (complained or said).decode(errors="replace").strip().splitlines()
        raise CommandFailed("\n".join(lines[-12:]))
    return said.decode()
