"""A private directory that exists as long as its owner, and is removed after a crash of it."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from imagegen.sandbox.servers.process import UnixAccount, is_same, kill_and_wait, reaches

_PREFIX = "imagegen-sandbox-"
_FALLBACKS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - mkdtemp creates a private directory in it


@contextmanager
def private_directory(
    account: UnixAccount | None = None, *, for_programs: bool = False
) -> Iterator[Path]:
    """Create a directory that `account` can enter, and remove it at the end.

    It also removes the directories of owners that were killed. A lock (flock) on the directory
    shows that its owner runs: the kernel releases it however the owner ends. With `for_programs`
    the directory is not on a file system mounted noexec.
    """
    for place in _places(account):
        _sweep(place)
    with ExitStack() as stack:
        path = _locked(_choose(account, for_programs=for_programs), stack)
        stack.callback(shutil.rmtree, path)
        # Others may enter but not list it: the account's own directories are inside.
        path.chmod(0o700 if account is None else 0o711)
        yield path


def _places(account: UnixAccount | None) -> list[Path]:
    first = Path(tempfile.gettempdir())
    if account is None:
        return [first]
    others = [Path(name) for name in _FALLBACKS]
    return [first, *(path for path in others if path != first and path.is_dir())]


def _choose(account: UnixAccount | None, *, for_programs: bool) -> Path:
    for place in _places(account):
        if account is not None and not reaches(account, place):
            continue
        if for_programs and os.statvfs(place).f_flag & getattr(os, "ST_NOEXEC", 0):
            continue
        return place
    return Path(tempfile.gettempdir())


def _locked(place: Path, stack: ExitStack) -> Path:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        # Another process may have swept in between: then it has the lock, or the directory is gone.
        if _lock(lock) and _is_at(path, lock):
            stack.callback(os.close, lock)
            return path
        os.close(lock)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sweep(place: Path) -> None:
    """Remove what this user's ended owners left; locked directories are not touched."""
    with suppress(OSError):
        for path in place.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                _sweep_one(path)


def _sweep_one(path: Path) -> None:
    found = path.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        return
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if _lock(lock):
            _end_leftovers(path)
            shutil.rmtree(path)
    finally:
        os.close(lock)


def _end_leftovers(path: Path) -> None:
    """End servers that outlived their owner: stopped ones, or where no death signal exists."""
    for note in path.glob("*.pid"):
        pid, _, born = note.read_text().partition(" ")
        if pid.isdecimal() and is_same(int(pid), born):
            kill_and_wait(int(pid))
