"""A program that owns sandbox servers, for tests that end it in every way."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from json import dumps, loads
from pathlib import Path
from select import POLLIN, poll
from subprocess import PIPE, Popen

from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.process import descendants_of
from imagegen.sandbox.servers.valkey import ValkeyServer
from imagegen.sandbox.signals import sigterm_exits

_ROOT = Path(__file__).parents[2]
_HERE = "tests.support.sandbox_owner"
PREFIX = "imagegen-sandbox-"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The started program; closing its stdin ends it in good order."""

    popen: Popen[bytes]
    database_url: str
    redis_url: str
    pids: tuple[int, ...]
    directories: tuple[str, ...]


@contextmanager
def owner(
    place: Path,
    *,
    python: str = sys.executable,
    search: tuple[Path, ...] = (),
    uid: int | None = None,
) -> Iterator[Owner]:
    """Start the program with its temporary files in `place`, return when its servers answer."""
    environment = {"TMPDIR": str(place), "PYTHONPATH": ":".join(map(str, (*search, _ROOT)))}
    command = [python, "-c", f"import {_HERE} as it; it.own()"]
    with Popen(command, stdin=PIPE, stdout=PIPE, env=environment, user=uid, group=uid) as popen:
        try:
            assert popen.stdout is not None
            yield Owner(popen=popen, **loads(popen.stdout.readline()))
        finally:
            popen.kill()


def own() -> None:
    """Run both servers, say where they are, and wait for the end of stdin."""
    with sigterm_exits(), ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer())
        valkey = stack.enter_context(ValkeyServer())
        pids = [postgres.pid, *descendants_of(postgres.pid), valkey.pid]
        said = {"database_url": postgres.url, "redis_url": valkey.url, "pids": pids}
        directories = [str(path) for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*")]
        os.write(1, dumps({**said, "directories": directories}).encode() + b"\n")
        sys.stdin.read()


@contextmanager
def watched(pids: tuple[int, ...]) -> Iterator[list[int]]:
    """Open a descriptor for each process, which becomes readable when it ends."""
    descriptors = [os.pidfd_open(pid) for pid in pids]
    try:
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def all_end(descriptors: list[int], *, timeout_s: float) -> bool:
    """Wait until each watched process has ended."""
    return all(_ends(descriptor, timeout_s) for descriptor in descriptors)


def _ends(descriptor: int, timeout_s: float) -> bool:
    waiting = poll()
    waiting.register(descriptor, POLLIN)
    return bool(waiting.poll(timeout_s * 1000))
