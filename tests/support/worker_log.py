"""The log of a worker as it is after the filter of what repeats, for code that runs in the test."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog

from imagegen.log_repeats import RepeatFilter


@contextmanager
def worker_log() -> Iterator[list[Mapping[str, Any]]]:
    """Give the list to which all lines of the block are added that the filter lets pass."""
    before, handler = structlog.get_config(), _ListHandler()
    root = logging.getLogger()
    level = root.level
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield handler.lines
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        structlog.configure(**before)


class _ListHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Mapping[str, Any]] = []
        self.addFilter(RepeatFilter())

    def emit(self, record: logging.LogRecord) -> None:
        message: Any = record.msg
        if isinstance(message, Mapping):
            self.lines.append(message)
