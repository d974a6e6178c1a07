"""Makes .venv from requirements.lock, once for each state of the checkout."""

# ruff: noqa: INP001, S603, T201 - a script that runs our own commands and talks to people

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "made-from"
SOURCES = ("requirements.lock", "pyproject.toml")

_SHOWN_LINES = 12


def main() -> None:
    """Make .venv unless it is there already; a second make waits for the first."""
    os.chdir(ROOT)
    if _is_made():
        return
    # The lock is on the directory itself, so there is no lock file to be left behind.
    lock = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not _is_made():
        _check_pip()
        _make()


def _is_made() -> bool:
    return STAMP.is_file() and STAMP.read_text() == _state() and _python().exists()


def _state() -> str:
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((ROOT / name).read_bytes())
    return f"{_place()}\n{digest.hexdigest()}\n"


def _place() -> str:
    # A virtual environment neither moves nor changes its Python.
    return f"{sys.version_info[0]}.{sys.version_info[1]} {ROOT}"


def _python() -> Path:
    return VENV / "bin" / "python"


def _check_pip() -> None:
    asked = [sys.executable, "-m", "pip", "--version"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    version = re.match(r"pip (\d+)\.(\d+)", answer.stdout)
    if version is None:
        _stop(f"{sys.executable} has no pip: install it (Debian: apt install python3-pip)")
    if tuple(map(int, version.groups())) < (22, 3):
        _stop(f"{sys.executable} has {version[0]}: pip 22.3 or newer is needed")


def _make() -> None:
    is_elsewhere = STAMP.is_file() and STAMP.read_text().partition("\n")[0] != _place()
    is_other = not (VENV / "lib" / f"python{_place().split()[0]}").is_dir()
    # As a module and without pip: Debian's Python brings no ensurepip.
    venv.create(VENV, clear=is_elsewhere or is_other, symlinks=True, with_pip=False)
    STAMP.unlink(missing_ok=True)
    lock = ROOT / "requirements.lock"
    total = len(re.findall(r"^[\w.-]+==", lock.read_text(), re.MULTILINE))
    print(f"making .venv: {total} packages, a minute or so", flush=True)
    _pip("--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", lock.name, total=total)
    _pip("--no-deps", "--no-build-isolation", "-e", ".", total=1)
    _show("")
    STAMP.write_text(_state())


def _pip(*arguments: str, total: int) -> None:
    told: list[str] = []
    here = 0
    with subprocess.Popen(
        _command(*arguments),
        env=_around(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as pip:
        for line in pip.stdout or ():
            told.append(line)
            here += line.startswith(("Collecting ", "Processing ", "Requirement "))
            is_last = total == 1 or line.startswith("Installing ")
            _show("  installing …" if is_last else f"  {min(here, total)} of {total} packages here")
    if pip.returncode:
        _show("")
        sys.stderr.writelines(told[-_SHOWN_LINES:])
        _stop("not everything could be installed; pip says why above")


def _command(*arguments: str) -> list[str]:
    pip = [sys.executable, "-m", "pip", "--python", str(_python()), "--no-input"]
    return [*pip, "--disable-pip-version-check", "install", "--progress-bar", "off", *arguments]


def _around() -> dict[str, str]:
    # Somebody's habit of installing into their home would miss .venv.
    return {**os.environ, "PIP_USER": "0"}


def _show(text: str) -> None:
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)


def _stop(why: str) -> NoReturn:
    sys.exit(f"make: {why}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
