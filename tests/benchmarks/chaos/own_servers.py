"""What a long run has for itself: an empty folder, PostgreSQL, Valkey, and a disk for its images."""

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from imagegen.db import migrations
from imagegen.sandbox.servers.postgres import PostgresServer
from imagegen.sandbox.servers.valkey import ValkeyServer
from imagegen.sandbox.signals import sigterm_exits
from tests.benchmarks.chaos.store_faults import SIZE_BYTES, StoreDisk, own_disk


@dataclass(frozen=True, kw_only=True)
class OwnServers:
    """The servers of one run; the database is migrated."""

    postgres: PostgresServer
    valkey: ValkeyServer
    store: StoreDisk


@contextmanager
def own_servers(out: Path, *, store_bytes: int = SIZE_BYTES) -> Iterator[OwnServers]:
    """Empty the folder `out`, log there, and run servers while the block runs."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with (
        sigterm_exits(),
        (out / "bot.log").open("w") as log,
        PostgresServer() as postgres,
        ValkeyServer() as valkey,
        own_disk(out / "store", size_bytes=store_bytes) as store,
    ):
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(log))
        migrations.upgrade(postgres.url)
        yield OwnServers(postgres=postgres, valkey=valkey, store=store)


def machine_and_time() -> str:
    """Return where and when a run was: cores, Python, UTC."""
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    )


def say(text: str) -> None:
    """Print what a person ran this for, at once."""
    print(text, flush=True)  # noqa: T201
