"""Writes the locks anew: pins and hashes for every system, and no addresses."""

# ruff: noqa: INP001, S603 - a script that runs our own commands

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".venv-tools"
_OPTIONS = (
    "--universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url"
    " --no-emit-find-links --only-binary :all: --quiet"
)
COMPILE = (
    f"pip compile {_OPTIONS} pyproject.toml --extra sandbox --extra image-screen --extra otel --extra bench --group dev -o requirements.lock",
    # Apart, so that `make venv` stays light: a browser's driver is as large as all the rest.
    f"pip compile {_OPTIONS} --group pyproject.toml:browser --constraint requirements.lock -o requirements-browser.lock",
    # For .venv-tools: one of these is a plugin of pytest that fails without more packages.
    f"pip compile {_OPTIONS} --group pyproject.toml:deploy --constraint requirements.lock -o requirements-deploy.lock",
)


def main() -> None:
    """Compile the locks with uv, which is installed aside if it is missing."""
    for command in COMPILE:
        subprocess.run([_uv(), *command.split(), *sys.argv[1:]], cwd=ROOT, check=True)


def _uv() -> str:
    own = TOOLS / "bin" / "uv"
    if (found := shutil.which("uv")) is not None:
        return found
    if not own.exists():
        venv.create(TOOLS, symlinks=True, with_pip=False)
        pip = [sys.executable, "-m", "pip", "--python", str(TOOLS / "bin" / "python")]
        subprocess.run([*pip, "install", "--quiet", "uv"], check=True)
    return str(own)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
