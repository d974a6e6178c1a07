"""Logging: one line for each event, as JSON for machines or in columns for people."""

import logging
import sys
import traceback
from pathlib import Path
from typing import Any, Literal

import structlog

_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(form: Literal["json", "console"]) -> None:
    """Send all logs, also those of libraries, to stderr in one form, from the level INFO on.

    Called once, by the main module of the process.
    """
    renderers: list[Any] = (
        [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
        if form == "json"
        # Plain tracebacks, because a rich one shows local variables, among them what people wrote.
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    structlog.configure(
        processors=[*_PROCESSORS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_PROCESSORS, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # arq's command gives its logger a handler of its own. Its lines about each job repeat ours.
    arq = logging.getLogger("arq")
    arq.handlers.clear()
    arq.propagate = True
    arq.setLevel(logging.WARNING)
    # At INFO they log the whole address of each request, which may contain a password or a key.
    for client in ("httpx", "httpcore"):
        logging.getLogger(client).setLevel(logging.WARNING)
    # At INFO it logs how it loads its dictionary.
    logging.getLogger("pymorphy3").setLevel(logging.WARNING)
    # It logs, with a traceback, that a broken connection could not be closed either. The caller
    # that needed the connection gets an error of its own.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)


def places(error: BaseException) -> list[str]:
    """Return file, line and function of each frame of an error's traceback, outermost first.

    Unlike the error's text they contain no values, so that nothing people wrote is logged.
    """
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def only_warnings() -> None:
    """Log warnings and errors only, for a command that prints its own output."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
