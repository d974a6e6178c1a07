"""What an operator's persona folders change of the shipped ones, as lines of a diff."""

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagegen.workflows.errors import UnknownPersona, WorkflowsMissing

_FILES = ("persona.toml", "workflow.json")


@dataclass(frozen=True, kw_only=True)
class PersonaDiff:
    """One file of one persona that differs; `lines` are those of a unified diff.

    `is_new`: there is no shipped persona of this name, so that all of it is new.
    """

    persona: str
    file: str
    is_new: bool
    lines: tuple[str, ...]


def persona_diffs(shipped: Path, own: Path, names: Sequence[str] = ()) -> tuple[PersonaDiff, ...]:
    """Compare the files in the folders of `own` with those in `shipped`; `names` are those to compare.

    A graph is compared node by node, whatever the order in its file. A file that is not in the own
    folder does not differ, since the shipped one is used.

    Raises:
        UnknownPersona: there is no folder of one of the names in `own`.
        WorkflowsMissing: a directory does not exist.
    """
    folders, before = _folders(own), _folders(shipped)
    wanted = [name.strip().casefold() for name in names] or sorted(folders)
    for name in wanted:
        if name not in folders:
            raise UnknownPersona(f"{own} has no folder {name[:40]!r}")
    return tuple(
        diff
        for name in wanted
        for file in _FILES
        if (diff := _diff(name, file, before.get(name), folders[name])) is not None
    )


def _folders(directory: Path) -> dict[str, Path]:
    if not directory.is_dir():
        raise WorkflowsMissing(directory, "there is no such directory")
    return {path.name.casefold(): path for path in sorted(directory.iterdir()) if path.is_dir()}


def _diff(persona: str, file: str, shipped: Path | None, own: Path) -> PersonaDiff | None:
    after = _lines(own / file)
    if after is None:
        return None
    before = None if shipped is None else _lines(shipped / file)
    lines = tuple(
        difflib.unified_diff(
            before or [],
            after,
            fromfile=f"shipped/{persona}/{file}",
            tofile=f"own/{persona}/{file}",
            lineterm="",
            n=1,
        )
    )
    if not lines:
        return None
    return PersonaDiff(persona=persona, file=file, is_new=before is None, lines=lines)


def _lines(file: Path) -> list[str] | None:
    """Return the lines to compare, None if there is no such file."""
    try:
        text = file.read_text("utf-8", errors="replace")
    except OSError:
        return None
    if file.suffix != ".json":
        return text.splitlines()
    try:
        # One line a value, so that a changed input is one changed line below its node.
        return json.dumps(
            json.loads(text), indent=1, sort_keys=True, ensure_ascii=False
        ).splitlines()
    except ValueError:
        return text.splitlines()
