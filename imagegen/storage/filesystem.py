"""An image store in a directory: `<directory>/<first two digits of the name>/<name>`."""

import errno
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import unquote, urlsplit

import structlog

from imagegen.image_file import ImageFile
from imagegen.storage.store import (
    OPERATION_TIMEOUT_S,
    ImageLost,
    StoredImage,
    StoreUnavailable,
    image_name,
    is_image_name,
    verified,
)
from imagegen.storage.threads import StoreThreads

ResultT = TypeVar("ResultT")

log = structlog.get_logger(__name__)

# The names of temporary files, which a worker leaves behind if it is killed while writing.
_TEMPORARY_NAME = re.compile(r"tmp\w+")
# A block of a usual file system: an empty file can be made on a full disk too.
_TRIAL_BYTES = 4096
# An album of large pictures has a place in it; where less is left, only small pictures are stored.
_LEAST_ROOM_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class _AccessRights:
    """The mode of the store's directories and that of its files, whatever the umask is."""

    directory: int
    file: int


_PRIVATE = _AccessRights(directory=0o700, file=0o600)
# The web server that publishes the images runs under another account. Like those whom it serves it
# can read an image whose name it knows, and cannot list the names.
_PUBLISHED = _AccessRights(directory=0o711, file=0o644)


class FilesystemImageStore:
    """Keeps images as files. Each is written to a temporary file, synced to disk and renamed.

    Its name is synced to disk too, so that a power cut takes away nothing that was stored.

    Nobody but the account of the worker can read them, unless `url_base` says that they are
    published: then others can read an image whose name they know.

    A directory of a network that hangs, or a disk that does not answer, is one that takes and gives
    no picture after `timeout_s`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        url_base: str | None = None,
        timeout_s: float = OPERATION_TIMEOUT_S,
    ) -> None:
        self._directory = directory
        self._url_base = url_base
        self._rights = _access_rights(url_base)
        self._threads = StoreThreads(timeout_s=timeout_s, are_daemons=True)

    @classmethod
    def at(cls, url: str, *, url_base: str | None = None) -> Self:
        """Open the store at a `file:///directory` URL; makes the directory.

        The access rights of an existing directory are set too. If it belongs to another account,
        and they cannot be set, this is logged.

        Raises:
            OSError: the directory cannot be made or written.
        """
        directory = directory_of(url)
        directory.mkdir(mode=_PRIVATE.directory, parents=True, exist_ok=True)
        _write_trial_file(directory)
        try:
            _set_mode(directory, _access_rights(url_base).directory)
        except PermissionError:
            log.warning("image store keeps its access rights", directory=str(directory))
        return cls(directory, url_base=url_base)

    @classmethod
    def if_present(cls, url: str) -> Self | None:
        """Open the store at a `file:///directory` URL; None if this machine has no such directory."""
        directory = directory_of(url)
        return cls(directory) if directory.is_dir() else None

    def url(self, name: str) -> str | None:
        if self._url_base is None:
            return None
        return f"{self._url_base.rstrip('/')}/{name[:2]}/{name}"

    async def put(self, image: ImageFile) -> StoredImage:
        name = image_name(image)
        await self._call(partial(self._write, name, image.data))
        return StoredImage(name=name, width=image.width, height=image.height)

    async def check_writable(self) -> None:
        try:
            await self._threads.try_out(self._check_writable)
        except TimeoutError:
            raise self._hangs() from None

    async def free_bytes(self) -> int | None:
        return await self._call(partial(_free_bytes, self._directory))

    async def get(self, name: str) -> bytes:
        return await self._call(partial(self._read, name))

    async def has(self, name: str) -> bool:
        return await self._call(partial(_exists, self._path(name)))

    async def erase(self, name: str, *, older_than_s: float) -> bool:
        return await self._call(partial(_erase, self._path(name), older_than_s))

    async def stale(self, folder: str, *, older_than_s: float) -> Sequence[str]:
        return await self._call(partial(_stale, self._directory / folder, older_than_s))

    async def erase_stale(self, folder: str, name: str, *, older_than_s: float) -> bool:
        return await self._call(partial(_erase, self._directory / folder / name, older_than_s))

    async def protect(self, folder: str) -> None:
        await self._call(partial(_protect, self._directory / folder, self._rights))

    async def _call(self, work: Callable[[], ResultT]) -> ResultT:
        try:
            return await self._threads.call(work)
        except TimeoutError:
            raise self._hangs() from None

    def _hangs(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self._directory} does not answer within {self._threads.timeout_s:g} s"
        )

    def _path(self, name: str) -> Path:
        return self._directory / name[:2] / name

    def _write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        try:
            _make_folder(path.parent)
            with suppress(PermissionError):  # it was made by another account
                _set_mode(path.parent, self._rights.directory)
            # Even if the file exists: it may be damaged.
            _write_atomically(path, data, mode=self._rights.file)
        except OSError as error:
            raise StoreUnavailable(f"{path.parent} takes no picture: {error.strerror}") from error

    def _check_writable(self) -> None:
        try:
            _write_trial_file(self._directory)
        except OSError as error:
            raise StoreUnavailable(
                f"{self._directory} takes no picture: {error.strerror}"
            ) from error

        if (free := _free_bytes(self._directory)) < _LEAST_ROOM_BYTES:
            left = f"{free / 2**20:.1f} MiB" if free >= 2**20 else f"{free // 2**10} KiB"
            raise StoreUnavailable(
                f"{self._directory} has {left} left, too little for a large picture"
            )

    def _read(self, name: str) -> bytes:
        path = self._path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise ImageLost(f"the stored picture {name} is gone") from error
        except OSError as error:
            raise StoreUnavailable(f"{path} can't be read: {error.strerror}") from error
        return verified(name, data)


def directory_of(url: str) -> Path:
    """Return the directory of a `file:///directory` URL."""
    return Path(unquote(urlsplit(url).path))


def _access_rights(url_base: str | None) -> _AccessRights:
    return _PRIVATE if url_base is None else _PUBLISHED


def _write_trial_file(directory: Path) -> None:
    """Write a file that is gone at once, and read it: a directory may be read-only, its disk full."""
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(bytes(_TRIAL_BYTES))
        file.flush()
        file.seek(0)
        file.read()


def _free_bytes(directory: Path) -> int:
    try:
        return shutil.disk_usage(directory).free
    except OSError as error:
        raise StoreUnavailable(f"{directory} can't be read: {error.strerror}") from error


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise StoreUnavailable(f"{path} can't be read: {error.strerror}") from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=_PRIVATE.directory)
    except FileExistsError:
        return
    _sync_names(folder.parent)


def _write_atomically(path: Path, data: bytes, *, mode: int) -> None:
    """Write a file whole or not at all.

    This holds for a reader in another process, and if this process is killed or the power fails.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(mode)
            temporary.replace(path)
        except BaseException:
            temporary.unlink()
            raise
    _sync_names(path.parent)


def _sync_names(directory: Path) -> None:
    """Sync to disk which names a directory has.

    Does nothing for a directory that we may not list, and on a network's file system that cannot.
    """
    with suppress(PermissionError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(descriptor)


def _erase(path: Path, older_than_s: float) -> bool:
    try:
        if not _is_older(path, older_than_s):
            return False
        path.unlink()
    except FileNotFoundError:
        return True
    except OSError as error:
        raise StoreUnavailable(f"{path} can't be erased: {error.strerror}") from error
    return True


def _stale(folder: Path, older_than_s: float) -> list[str]:
    try:
        files = [file for file in folder.iterdir() if _is_ours(file.name)]
        return [file.name for file in files if _is_older(file, older_than_s)]
    except FileNotFoundError:  # no folder yet, or a file was renamed or erased since
        return []
    except OSError as error:
        raise StoreUnavailable(f"{folder} can't be read: {error.strerror}") from error


def _protect(folder: Path, rights: _AccessRights) -> None:
    try:
        with suppress(PermissionError):
            _set_mode(folder, rights.directory)
        for file in folder.iterdir():
            # A file may be erased meanwhile, or belong to another account.
            with suppress(FileNotFoundError, PermissionError):
                if is_image_name(file.name) and file.is_file():
                    _set_mode(file, rights.file)
    except FileNotFoundError:  # no folder yet
        pass
    except OSError as error:
        raise StoreUnavailable(f"{folder} can't be read: {error.strerror}") from error


def _set_mode(path: Path, mode: int) -> None:
    if stat.S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)


def _is_ours(name: str) -> bool:
    return is_image_name(name) or _TEMPORARY_NAME.fullmatch(name) is not None


def _is_older(path: Path, seconds: float) -> bool:
    return time.time() - path.stat().st_mtime >= seconds
