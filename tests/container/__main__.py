"""`make image`: take the steps of the Dockerfile one by one without docker, and run the worker.

Its paths are mapped into a temporary directory. Accounts are not made: as root the worker runs
under the number of USER, otherwise under the caller's account. It needs a package registry.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagegen.sandbox.ports import free_ports
from imagegen.sandbox.servers.servers import Servers, running_servers
from imagegen.sandbox.signals import sigterm_exits
from tests.support.container_files import ROOT, Stage, health_check, stages

_MAPPED = ("/opt/venv", "/source", "/dist", "/var/lib/chatflow-imagegen/images")
# Makes an account, which is not for this machine.
_ACCOUNTS = "useradd"
_READY_S, _END_S = 120.0, 40.0
# The system's own, which other accounts reach as well.
_PYTHON = "/usr/bin/python3"


class StepFailed(Exception):
    """A step of the Dockerfile, or what it made, does not do what it should."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """A directory that plays the file system of the build."""

    root: Path

    @property
    def base(self) -> Path:
        """The virtual environment that plays the Python of the base image, with pip."""
        return self.root / "base"

    def path(self, text: str) -> str:
        """Return the text with each path of the image mapped."""
        for place in _MAPPED:
            text = re.sub(rf"(?<![\w.]){place}(?![\w-])", f"{self.root}{place}", text)
        return text

    def run(self, step: str, *, directory: Path, variables: Mapping[str, str]) -> None:
        """Run the text of a RUN.

        Raises:
            StepFailed: it ended with another code than 0.
        """
        command = self.path(re.sub(r"^--mount=\S+ ", "", step))
        _say(f"RUN {step}")
        started = time.monotonic()
        ended = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=directory,
            env={**os.environ, **variables, "PATH": f"{self.base}/bin:/usr/bin:/bin"},
            check=False,
        )
        if ended.returncode:
            raise StepFailed(f"ended with {ended.returncode}: {step}")
        _say(f"    {time.monotonic() - started:.1f} s")


def main() -> int:
    """Build, run and check; 1 if something is not as it should be."""
    with (
        sigterm_exits(),
        tempfile.TemporaryDirectory(prefix="image-", dir="/tmp") as directory,
        running_servers() as servers,
    ):
        root = Path(directory)
        root.chmod(0o755)
        image = Image(root=root)
        try:
            _make_base(image)
            directories: dict[str, Path] = {}
            for stage in stages():
                # A stage begins where the one ended on which it is based.
                before = directories.get(stage.base, root)
                directories[stage.name] = _build(image, stage, before)
            _check_worker(image, stages()[-1], servers)
        except StepFailed as error:
            _say(f"make image: {error}")
            return 1
    _say("the image builds, runs and is healthy")
    return 0


def _make_base(image: Image) -> None:
    subprocess.run([_PYTHON, "-m", "venv", "--without-pip", image.base], check=True)
    pip: list[str | Path] = [
        _PYTHON,
        "-m",
        "pip",
        "--python",
        image.base / "bin" / "python",
        "install",
        "--quiet",
    ]
    subprocess.run([*pip, "pip"], check=True)


def _build(image: Image, stage: Stage, directory: Path) -> Path:
    """Take the steps of a stage, and return its last directory."""
    variables: dict[str, str] = {}
    for instruction, text in stage.instructions:
        match instruction:
            case "ARG":
                name, _, value = text.partition("=")
                variables[name] = value
            case "WORKDIR" if text in _MAPPED:
                directory = Path(image.path(text))
                directory.mkdir(parents=True, exist_ok=True)
            case "COPY" if not text.startswith("--from"):
                (image.root / "source").mkdir(exist_ok=True)
                _copy(text.split()[:-1], image.root / "source")
            case "RUN" if _ACCOUNTS not in text:
                image.run(text, directory=directory, variables=variables)
            case _:
                _say(f"{instruction} {text}")
    return directory


def _copy(names: list[str], target: Path) -> None:
    # What .dockerignore lets through; the order of its lines does not matter here.
    allowed = re.findall(r"(?m)^!(.+)$", (ROOT / ".dockerignore").read_text())
    chosen = allowed if names == ["."] else names
    subprocess.run(["cp", "-r", *(ROOT / name for name in chosen), target], check=True)


def _check_worker(image: Image, stage: Stage, servers: Servers) -> None:
    user, _, group = stage.texts("USER")[0].partition(":")
    account = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    become = account if os.geteuid() == 0 else []
    store = Path(image.path("/var/lib/chatflow-imagegen/images"))
    store.mkdir(mode=0o700, parents=True)
    if become:
        os.chown(store, int(user), int(group))
    (variables,) = stage.texts("ENV")
    environment = {
        **dict(part.split("=", 1) for part in variables.split()),
        "PATH": f"{image.path('/opt/venv')}/bin:/usr/bin:/bin",
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "IMAGE_STORE": f"file://{store}",
        "TELEGRAM_BOT_TOKEN": "42:nobody",
        "TELEGRAM_API_URL": "http://127.0.0.1:9",
        "COMFYUI_HOSTS": "127.0.0.1:9",
        "WEB_PORT": str(next(free_ports())),
    }
    migrate = [*become, "imagegen", "migrate"]
    subprocess.run(migrate, env=environment, cwd="/", check=True)
    with _running([*become, *json.loads(stage.texts("CMD")[0])], environment) as worker:
        ends = time.monotonic() + _READY_S
        while _is_ill(become, environment):
            if worker.poll() is not None or time.monotonic() > ends:
                raise StepFailed("the health check does not succeed")
            time.sleep(0.2)
        worker.terminate()
        if (code := worker.wait(_END_S)) != 0:
            raise StepFailed(f"the worker ended with {code}")
    if not _is_ill(become, environment):
        raise StepFailed("the health check succeeds without a worker")


def _is_ill(become: list[str], environment: Mapping[str, str]) -> int:
    command = [*become, *health_check()]
    return subprocess.run(
        command, env=environment, check=False, stderr=subprocess.DEVNULL
    ).returncode


@contextmanager
def _running(
    command: list[str], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, env=environment, cwd="/") as process:
        try:
            yield process
        finally:
            process.kill()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
