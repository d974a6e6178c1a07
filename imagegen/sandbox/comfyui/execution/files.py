"""The image files of a host in its output, temp and input folders, held in memory."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

# The path that a real server would show when it refuses a file name.
_ROOT = "/comfyui/data"

# The folders that file names on the wire may refer to.
FOLDERS = ("output", "temp", "input")

# A demo that runs for days must not fill the memory: the oldest files are dropped first.
_MAX_BYTES = 512 * 2**20


class EscapeError(Exception):
    """A file name that leads out of its folder."""


@dataclass(frozen=True, kw_only=True)
class FileName:
    """Where an image file is, with ComfyUI's names for the parts."""

    filename: str
    subfolder: str
    type: str

    def as_json(self) -> dict[str, str]:
        """Return an entry of a history's `images`."""
        return {"filename": self.filename, "subfolder": self.subfolder, "type": self.type}


class ImageFolders:
    """Image files by folder, subfolder and file name; at most 512 MiB, the oldest are dropped."""

    def __init__(self, *, tells_common_path: bool) -> None:
        self._tells_common_path = tells_common_path
        self._images: dict[FileName, bytes] = {}

    def get(self, name: FileName) -> bytes | None:
        return self._images.get(name)

    def save(self, prefix: str, folder: str, png: bytes, *, batch_number: int = 0) -> FileName:
        """Save a PNG under `prefix` and the next free number, and return its name.

        Raises:
            EscapeError: the prefix leads out of the folder.
        """
        path = posixpath.normpath(prefix)
        subfolder, basename = posixpath.dirname(path), posixpath.basename(path)
        self._check_inside(subfolder, folder)
        number = 1 + max(self._numbers(basename, subfolder, folder), default=0)
        stem = basename.replace("%batch_num%", str(batch_number))
        name = FileName(filename=f"{stem}_{number:05}_.png", subfolder=subfolder, type=folder)
        self.put(name, png)
        return name

    def put(self, name: FileName, image: bytes) -> None:
        """Store a file under this name, in place of one that has it."""
        self._images[name] = image
        self._drop_oldest()

    def delete(self, filename: str) -> None:
        """Delete every file of that name, in whatever folder, as somebody cleaning the disk would."""
        for name in [name for name in self._images if name.filename == filename]:
            del self._images[name]

    def clear_temp(self) -> None:
        """Empty the temp folder, as a server does when it starts."""
        self._images = {n: png for n, png in self._images.items() if n.type != "temp"}

    def _numbers(self, basename: str, subfolder: str, folder: str) -> Iterator[int]:
        start = f"{basename}_"
        for name in self._images:
            if (name.subfolder, name.type) != (subfolder, folder):
                continue
            digits = name.filename.removeprefix(start).split("_")[0]
            if name.filename.startswith(start) and digits.isdigit():
                yield int(digits)

    def _check_inside(self, subfolder: str, folder: str) -> None:
        inside = f"{_ROOT}/{folder}"
        target = posixpath.normpath(posixpath.join(inside, subfolder))
        common = posixpath.commonpath((inside, target))
        if common == inside:
            return
        message = (
            "**** ERROR: Saving image outside the output folder is not allowed."
            f"\n full_output_folder: {target}\n         output_dir: {inside}"
        )
        if self._tells_common_path:
            message += f"\n         commonpath: {common}"
        raise EscapeError(message)

    def _drop_oldest(self) -> None:
        total_bytes = sum(map(len, self._images.values()))
        while total_bytes > _MAX_BYTES and len(self._images) > 1:
            oldest = next(iter(self._images))
            total_bytes -= len(self._images.pop(oldest))
