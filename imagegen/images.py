"""The image store: pictures in a directory, named by their content."""

import asyncio
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from imagegen.errors import Rejected
from imagegen.pictures import Picture


class ImageLost(Rejected):
    """A stored picture is gone or is not what was stored."""

    code = "image_lost"


@dataclass(frozen=True, kw_only=True)
class Image:
    """A stored picture; sides in pixels."""

    name: str
    width: int
    height: int


class ImageStore:
    """Keeps pictures by the SHA-256 of their bytes, so that the same picture is kept once."""

    def __init__(self, directory: Path, *, url_base: str | None = None) -> None:
        self._directory = directory
        self._url_base = url_base

    @classmethod
    def at(cls, url: str, *, url_base: str | None = None) -> Self:
        """Open the store at a `file:///directory` URL, making the directory. Raises OSError."""
        directory = Path(unquote(urlsplit(url).path))
        directory.mkdir(parents=True, exist_ok=True)
        return cls(directory, url_base=url_base)

    def url(self, name: str) -> str | None:
        """Return where a picture can be had by URL, if the store is served anywhere."""
        if self._url_base is None:
            return None
        return f"{self._url_base.rstrip('/')}/{name[:2]}/{name}"

    async def put(self, picture: Picture) -> Image:
        """Store a picture; twice is as good as once."""
        name = f"{hashlib.sha256(picture.data).hexdigest()}.{picture.format}"
        await asyncio.to_thread(self._write, name, picture.data)
        return Image(name=name, width=picture.width, height=picture.height)

    async def get(self, name: str) -> bytes:
        """Return a picture's bytes as they were stored. Raises ImageLost."""
        return await asyncio.to_thread(self._read, name)

    def _path(self, name: str) -> Path:
        return self._directory / name[:2] / name

    def _write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        if path.exists():
            return
        path.parent.mkdir(exist_ok=True)
        # Whole or not at all, also for a reader in another process and after a kill.
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
        os.chmod(file.name, 0o644)  # noqa: PTH101 (a name, not a Path)
        os.replace(file.name, path)  # noqa: PTH105

    def _read(self, name: str) -> bytes:
        try:
            data = self._path(name).read_bytes()
        except FileNotFoundError as error:
            raise ImageLost(f"the stored picture {name} is gone") from error
        if hashlib.sha256(data).hexdigest() != Path(name).stem:
            raise ImageLost(f"the stored picture {name} is damaged")
        return data
