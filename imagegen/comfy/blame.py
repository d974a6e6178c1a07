"""Blame: is it the host that fails every prompt, or are the prompts broken? Pure but for its memory.

A host is to blame for the failures of workflows that fail nowhere else: one that failed on two
hosts since it last went well on any is broken itself, and would put the whole fleet aside.
"""

from collections import defaultdict, deque

_IN_A_ROW = 3
_REMEMBERED = 20


class Blame:
    """Remembers which model sets failed where."""

    def __init__(self) -> None:
        self._rows: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._failed_on: defaultdict[str, set[str]] = defaultdict(set)

    def drew(self, host: str, model_set: str) -> None:
        """Learn that a drawing went well: its workflow is sound, and so is the host."""
        self._rows.pop(host, None)
        self._failed_on.pop(model_set, None)

    def failed(self, host: str, model_set: str) -> None:
        """Learn that a drawing failed on a host that answered all the while."""
        self._rows[host].append(model_set)
        self._failed_on[model_set].add(host)

    def falls_on(self, host: str) -> bool:
        """Whether the host failed so often in a row that it must be its own fault."""
        row = self._rows.get(host, ())
        own = [each for each in row if self._failed_on.get(each, set()) <= {host}]
        return len(own) >= _IN_A_ROW
