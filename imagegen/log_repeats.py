"""The same trouble is logged once with its reason, then counted, and summed up when it is over."""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

_CHANGES = ".changes"
# The beginnings of the codes of servers without which no request can go on: each request that
# waits says so again and again. Only the end of a request is its own.
_CODES_OF_OUTAGES = ("database_", "telegram_unreachable", "telegram_unauthorized")
_END_OF_REQUEST = "request ended"
_NOT_IN_KEY = frozenset({"timestamp", "exc_info", "request_id"})


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """A line that was left out `times` times, over `seconds`, and is not logged any more."""

    event: str
    why: object
    times: int
    seconds: float


@dataclass(kw_only=True)
class _Line:
    event: str
    why: object
    first_at: float
    logged_at: float
    last_at: float
    left_out: int = 0


class RepeatFilter(logging.Filter):
    """Lets a warning or an error pass once, and again every `again_after_s` while it repeats.

    Two lines are the same if all their fields are, numbers aside, which differ from try to try; of
    an exception its type and its place count. Two kinds of lines are always logged:

    - What a logger says whose name ends in `.changes`: it speaks only when something changes, so
      that a second `host failed` is a second failure.
    - What is said of one request, since it is part of the history of that request; except that it
      waits for a server that all requests wait for.

    Safe in threads. `clock` returns seconds.
    """

    def __init__(
        self,
        *,
        again_after_s: float = 300.0,
        over_after_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._again_after_s = again_after_s
        self._over_after_s = over_after_s
        self._clock = clock
        self._lines: dict[Hashable, _Line] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be logged; one that repeats gets its count as `repeated`."""
        fields = _fields(record)
        if record.levelno < logging.WARNING or _is_news(record, fields):
            return True
        key, now = _key(record, fields), self._clock()
        with self._lock:
            line = self._lines.get(key)
            if line is None:
                self._lines[key] = _Line(
                    event=str(fields["event"]),
                    why=fields.get("why"),
                    first_at=now,
                    logged_at=now,
                    last_at=now,
                )
                return True
            line.last_at = now
            if now - line.logged_at < self._again_after_s:
                line.left_out += 1
                return False
            line.logged_at = now
            _set_field(record, "repeated", line.left_out)
            return True

    def over(self) -> list[Repeated]:
        """Return the lines that repeated and do not any more, each once."""
        return self._take(before=self._clock() - self._over_after_s)

    def rest(self) -> list[Repeated]:
        """Return all lines that repeated; for the end of the process."""
        return self._take(before=float("inf"))

    def _take(self, *, before: float) -> list[Repeated]:
        with self._lock:
            keys = [key for key, line in self._lines.items() if line.last_at <= before]
            lines = [self._lines.pop(key) for key in keys]
        return [
            Repeated(
                event=line.event,
                why=line.why,
                times=line.left_out,
                seconds=round(line.last_at - line.first_at, 1),
            )
            for line in lines
            if line.left_out
        ]


def _is_news(record: logging.LogRecord, fields: Mapping[str, Any]) -> bool:
    if record.name.endswith(_CHANGES):
        return True
    is_outage = str(fields.get("code")).startswith(_CODES_OF_OUTAGES)
    return "request_id" in fields and not (is_outage and fields["event"] != _END_OF_REQUEST)


def _key(record: logging.LogRecord, fields: Mapping[str, Any]) -> Hashable:
    words = (
        (name, str(value))
        for name, value in fields.items()
        if name not in _NOT_IN_KEY and not isinstance(value, int | float)
    )
    return frozenset(words), _exception_key(fields.get("exc_info") or record.exc_info)


def _exception_key(exc_info: object) -> Hashable:
    """Return the type and the place of an exception, in any form that `logging` takes."""
    error: object = sys.exc_info()[1] if exc_info is True else exc_info
    if isinstance(error, tuple):
        error = error[1]
    if not isinstance(error, BaseException):
        return None
    frames = traceback.extract_tb(error.__traceback__)
    return type(error), *((frame.filename, frame.lineno) for frame in frames[-1:])


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    message: Any = record.msg  # a dict if structlog made the record
    return message if isinstance(message, Mapping) else {"event": record.getMessage()}


def _set_field(record: logging.LogRecord, name: str, value: object) -> None:
    message: Any = record.msg
    if isinstance(message, dict):
        message[name] = value
    else:
        setattr(record, name, value)
