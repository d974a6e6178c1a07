"""An image store that takes no picture: its disk is full or read-only, or its directory is away."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SIZE_BYTES = 64 * 1024 * 1024
_MOUNT_TIMEOUT_S = 10


@dataclass(frozen=True, kw_only=True)
class StoreDisk:
    """The directory `root` in which the store's own directory is.

    `cannot_mount` says why it has no disk of its own, so that it can be neither full nor
    read-only; None if it has one.
    """

    root: Path
    cannot_mount: str | None = "no disk of its own was asked for"

    @property
    def directory(self) -> Path:
        return self.root / "images"

    @asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        """Fill the disk during the block: there is room for no more byte."""
        ballast = self.root / "ballast"
        await asyncio.to_thread(_fill, ballast)
        yield
        ballast.unlink()

    @asynccontextmanager
    async def read_only(self) -> AsyncIterator[None]:
        """Mount the disk read-only during the block.

        Raises:
            TimeoutError: it is in use for writing all the time.
        """
        await self._remount("ro")
        yield
        await self._remount("rw")

    @asynccontextmanager
    async def missing(self) -> AsyncIterator[None]:
        """Put a file in the place of the directory during the block."""
        aside = self.root / "images.aside"
        self.directory.rename(aside)
        self.directory.touch()
        yield
        self.directory.unlink()
        aside.rename(self.directory)

    async def _remount(self, how: str) -> None:
        async with asyncio.timeout(_MOUNT_TIMEOUT_S):
            while True:
                why = await asyncio.to_thread(_mount, "-o", f"remount,{how}", str(self.root))
                if why is None:
                    return
                # It is refused while a file is open for writing, which is only for a moment.
                await asyncio.sleep(0.02)


@contextmanager
def own_disk(root: Path, *, size_bytes: int = SIZE_BYTES) -> Iterator[StoreDisk]:
    """Mount a small file system in memory at `root` while the block runs, if we may."""
    root.mkdir(parents=True)
    why = _mount("-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(root))
    try:
        yield StoreDisk(root=root, cannot_mount=why)
    finally:
        if why is None:
            subprocess.run(["umount", "--lazy", str(root)], check=False)


def _mount(*arguments: str) -> str | None:
    """Call mount; return None if that worked, else why not, in one line."""
    try:
        done = subprocess.run(
            ["mount", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_MOUNT_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else " ".join(done.stderr.split())


def _fill(ballast: Path) -> None:
    size = 1024 * 1024
    with ballast.open("wb", buffering=0) as file:
        while size:
            with suppress(OSError):
                while True:
                    file.write(os.urandom(1) * size)
            size //= 2
