"""Logs: one line an event, JSON for machines or columns for people."""

import logging
import sys
import traceback
from pathlib import Path
from typing import Any, Literal

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(form: Literal["json", "console"]) -> None:
    """Send all logging, arq's too, to stderr in one form. Called once, by whoever owns the process."""
    shown: list[Any] = (
        [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
        if form == "json"
        # Plain tracebacks: a pretty one shows local variables, and with them what people wrote.
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shown],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # arq's CLI gives its logger a handler of its own; its per-job lines repeat ours.
    arq = logging.getLogger("arq")
    arq.handlers.clear()
    arq.propagate = True
    arq.setLevel(logging.WARNING)
    # They tell the whole address of each request, and with it a password or a key.
    for client in ("httpx", "httpcore"):
        logging.getLogger(client).setLevel(logging.WARNING)
    # It tells how it loads its dictionary.
    logging.getLogger("pymorphy3").setLevel(logging.WARNING)
    # It tells with a traceback that a broken connection could not be closed either. Whoever needed
    # the connection hears that the database is away.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)


def places(error: BaseException) -> list[str]:
    """Give the places that an error came through, outermost first, without any value."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def only_warnings() -> None:
    """Keep the log quiet, for a program that shows people something else."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
