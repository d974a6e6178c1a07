"""A throttle: the same thing is said once in a while, and what was left unsaid is counted."""

import time
from collections.abc import Callable


class Throttle:
    """Remembers per thing when it was last said and how often it was left unsaid since."""

    def __init__(self, *, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def admit(self, thing: str) -> int | None:
        """Return how often it was left unsaid if it may be said now; None: leave it unsaid."""
        if not self._may_say(thing):
            self._unsaid[thing] = self._unsaid.get(thing, 0) + 1
            return None
        self._said[thing] = self._clock()
        return self._unsaid.pop(thing, 0)

    def overdue(self) -> dict[str, int]:
        """Return what has been unsaid for long enough, and how often; it counts as said now."""
        due = {thing: count for thing, count in self._unsaid.items() if self._may_say(thing)}
        for thing in due:
            self.admit(thing)
        return due

    def rest(self) -> dict[str, int]:
        """Return all that was left unsaid, and how often; for the end."""
        rest, self._unsaid = self._unsaid, {}
        return rest

    def _may_say(self, thing: str) -> bool:
        said = self._said.get(thing)
        return said is None or self._clock() - said >= self._every_s
