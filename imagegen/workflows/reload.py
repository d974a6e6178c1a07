"""ReloadableLibrary: the personas in force, which are read anew as a whole or not at all."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from imagegen.errors import ImagegenError
from imagegen.workflows.errors import WorkflowsMissing
from imagegen.workflows.library import Library


class LibraryNotReloaded(ImagegenError):
    """A persona's files are broken, so that all personas stay as they were; the sentence names them."""


@dataclass(frozen=True, kw_only=True)
class LibraryChange:
    """What a reload has changed: names of personas, sorted."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


class ReloadableLibrary:
    """Holds the library in force.

    `load` reads it; it is called at once, with its errors, and again by each `reload`, in a thread.
    What has the library of before goes on with it: a request is drawn with the files with which it
    began.
    """

    def __init__(self, load: Callable[[], Library]) -> None:
        self._load = load
        self._current = load()
        self._lock = asyncio.Lock()

    @property
    def current(self) -> Library:
        """The library in force."""
        return self._current

    def name_of(self, persona: str) -> str | None:
        """Return the name of a persona's folder in force, see `Library.name_of`."""
        return self._current.name_of(persona)

    async def reload(self) -> LibraryChange:
        """Read all personas anew and put them in force.

        Raises:
            LibraryNotReloaded: a folder is broken or missing; then nothing is changed.
        """
        async with self._lock:
            try:
                fresh = await asyncio.to_thread(self._load)
            except WorkflowsMissing as error:
                raise LibraryNotReloaded(error.sentence) from error
            if fresh.faults:
                sentences = (f"{each.sentence} ({each.file})" for each in fresh.faults.values())
                raise LibraryNotReloaded("; ".join(sentences))
            before, self._current = self._current, fresh
        return _change(before, fresh)


def _change(before: Library, after: Library) -> LibraryChange:
    old, new = before.workflows, after.workflows
    return LibraryChange(
        added=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(sorted(name for name in new.keys() & old.keys() if new[name] != old[name])),
        removed=tuple(sorted({*old, *before.faults} - new.keys())),
    )
