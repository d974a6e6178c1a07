"""The image store in a directory."""

import asyncio
import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from imagegen.image_file import ImageFile
from imagegen.storage.store import (
    ImageLost,
    StoredImage,
    StoreUnavailable,
    image_name,
    is_image_name,
    verified,
)

# Left behind by a worker that was killed.
_DRAFT = re.compile(r"tmp\w+")
# Whoever serves the pictures is somebody else.
_READABLE = 0o644


class FilesystemImageStore:
    """Keeps pictures as files, each written to a draft, synced and renamed."""

    def __init__(self, directory: Path, *, url_base: str | None = None) -> None:
        self._directory = directory
        self._url_base = url_base

    @classmethod
    def at(cls, url: str, *, url_base: str | None = None) -> Self:
        """Open the store at a `file:///directory` URL, making the directory. Raises OSError."""
        directory = _directory(url)
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):  # that it is there does not say it is writable
            pass
        return cls(directory, url_base=url_base)

    @classmethod
    def there(cls, url: str) -> Self | None:
        """Open a store that stands already; None if it does not, on this machine."""
        directory = _directory(url)
        return cls(directory) if directory.is_dir() else None

    def url(self, name: str) -> str | None:
        if self._url_base is None:
            return None
        return f"{self._url_base.rstrip('/')}/{name[:2]}/{name}"

    async def put(self, picture: ImageFile) -> StoredImage:
        name = image_name(picture)
        await asyncio.to_thread(self._write, name, picture.data)
        return StoredImage(name=name, width=picture.width, height=picture.height)

    async def get(self, name: str) -> bytes:
        return await asyncio.to_thread(self._read, name)

    async def has(self, name: str) -> bool:
        return await asyncio.to_thread(self._path(name).is_file)

    async def erase(self, name: str, *, older_than_s: float) -> bool:
        return await asyncio.to_thread(_erase, self._path(name), older_than_s)

    async def stale(self, folder: str, *, older_than_s: float) -> Sequence[str]:
        return await asyncio.to_thread(_stale, self._directory / folder, older_than_s)

    async def erase_stale(self, folder: str, name: str, *, older_than_s: float) -> bool:
        return await asyncio.to_thread(_erase, self._directory / folder / name, older_than_s)

    def _path(self, name: str) -> Path:
        return self._directory / name[:2] / name

    def _write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        try:
            path.parent.mkdir(exist_ok=True)
            # Also when it is there: what is there may be damaged.
            _replace(path, data)
        except OSError as error:
            raise StoreUnavailable(f"{path.parent} takes no picture: {error.strerror}") from error

    def _read(self, name: str) -> bytes:
        path = self._path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise ImageLost(f"the stored picture {name} is gone") from error
        except OSError as error:
            raise StoreUnavailable(f"{path} can't be read: {error.strerror}") from error
        return verified(name, data)


def _directory(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, also for a reader in another process and after a kill."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        draft = Path(file.name)
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            draft.chmod(_READABLE)
            draft.replace(path)
        except BaseException:
            draft.unlink()
            raise


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
    except FileNotFoundError:  # no folder yet, or a draft has just been named
        return []
    except OSError as error:
        raise StoreUnavailable(f"{folder} can't be read: {error.strerror}") from error


def _is_ours(name: str) -> bool:
    return is_image_name(name) or _DRAFT.fullmatch(name) is not None


def _is_older(path: Path, seconds: float) -> bool:
    return time.time() - path.stat().st_mtime >= seconds
