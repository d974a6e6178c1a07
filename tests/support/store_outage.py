"""A directory of images that takes nothing for a while, whoever runs the test."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unusable(directory: Path) -> Iterator[None]:
    """Let a file stand where the directory is, so that nothing in it can be read or written.

    The permissions of a directory would not stop root.
    """
    aside = directory.with_name(f"{directory.name}.aside")
    directory.rename(aside)
    directory.touch()
    try:
        yield
    finally:
        directory.unlink()
        aside.rename(directory)
