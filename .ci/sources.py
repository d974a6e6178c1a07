"""The files of a checkout, each read and parsed once, and the problems that checks find in them."""

# ruff: noqa: INP001 - scripts that run beside each other

import ast
import os
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

PRODUCT = ("chatflow_hook", "imagegen")

# What make and the tools write; no part of the project.
_GENERATED = {"__pycache__", "bench-results", "demo-output", "dist"}


@dataclass(frozen=True, order=True)
class Problem:
    """One line of the report: where it is, what is wrong there and what to do."""

    path: str
    line: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.sentence}"


class Sources:
    """A checkout. Paths are relative to its root and have slashes on every system."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.text = cache(self._read)
        self.module = cache(self._parse)

    @cached_property
    def files(self) -> frozenset[str]:
        """All files but those in hidden folders; `.ci` is none of them."""
        found = []
        for folder, folders, names in os.walk(self._root):
            folders[:] = [name for name in folders if _is_ours(name)]
            found += [(Path(folder) / name).relative_to(self._root).as_posix() for name in names]
        return frozenset(found)

    @cached_property
    def folders(self) -> frozenset[str]:
        """All folders that have a file in them or below."""
        return frozenset(parent.as_posix() for file in self.files for parent in Path(file).parents)

    @cached_property
    def product(self) -> tuple[str, ...]:
        """The modules of both packages, in order of their paths."""
        return tuple(sorted(file for file in self.files if _is_product(file)))

    def _read(self, path: str) -> str:
        return (self._root / path).read_text("utf-8")

    def _parse(self, path: str) -> ast.Module:
        return ast.parse(self.text(path), path)


def _is_ours(folder: str) -> bool:
    return folder == ".ci" or not (folder.startswith(".") or folder in _GENERATED)


def _is_product(file: str) -> bool:
    return file.endswith(".py") and file.split("/", maxsplit=1)[0] in PRODUCT
