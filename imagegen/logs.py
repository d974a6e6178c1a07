"""Logging: one line for each event, as JSON for machines or in columns for people."""

import logging
import os
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor

from imagegen.log_repeats import Repeated, RepeatFilter

log = structlog.get_logger(__name__)

# The loggers of arq that write while its worker starts and while `arq --check` runs.
_ARQ_LOGGERS = ("arq.worker", "arq.connections")
_repeats = RepeatFilter()


def configure(form: Literal["json", "console"], *, worker: str | None = None) -> None:
    """Send all that the process says to stderr in one form, from the level INFO on.

    That is also what libraries log, Python's warnings, and exceptions that nobody handles. Each
    line carries the name of the `worker`. Called once, by the main module of the process.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([_adding_worker(worker)] if worker else []),
    ]
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
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    handler.addFilter(_repeats)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    _quieten_libraries()
    _take_over_arq()
    _log_what_nobody_handles()


def worker_name() -> str:
    """Return the name of this worker: the machine or container, and the number of the process."""
    return f"{socket.gethostname()}-{os.getpid()}"


async def log_repeats() -> None:
    """Log how often and for how long each trouble repeated that is over."""
    _log_repeated(_repeats.over())


def log_rest() -> None:
    """Log how often each trouble repeated, over or not; to be called at the end."""
    _log_repeated(_repeats.rest())


def places(error: BaseException) -> list[str]:
    """Return file, line and function of each frame of an error's traceback, outermost first.

    Unlike the error's text they contain no values, so that nothing people wrote is logged.
    """
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def only_warnings() -> None:
    """Log warnings and errors only, to stderr, for a command that prints its own output."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _adding_worker(name: str) -> Processor:
    # Not a context variable, which other threads do not see.
    def add_worker(_: Any, __: str, fields: EventDict) -> EventDict:
        fields.setdefault("worker", name)
        return fields

    return add_worker


def _quieten_libraries() -> None:
    # At INFO they log the whole address of each request, which may contain a password or a key.
    for client in ("httpx", "httpcore"):
        logging.getLogger(client).setLevel(logging.WARNING)
    # At INFO it logs how it loads its dictionary.
    logging.getLogger("pymorphy3").setLevel(logging.WARNING)
    # It logs, with a traceback, that a broken connection could not be closed either. The caller
    # that needed the connection gets an error of its own.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)


def _take_over_arq() -> None:
    for name in _ARQ_LOGGERS:
        logging.getLogger(name).addFilter(_ArqFilter())


class _ArqFilter(logging.Filter):
    """Gives arq's lines to our handler.

    arq's command gives its loggers a handler and a level of its own, and does so after this module
    is configured. It leaves their filters alone.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        # Its lines about the start and about each job repeat ours.
        is_answer = record.funcName == "async_check_health"
        if is_answer or record.levelno >= logging.WARNING:
            logging.getLogger().handle(record)
        return False


def _log_what_nobody_handles() -> None:
    sys.excepthook = _log_end
    threading.excepthook = lambda failed: log.critical(
        "a thread has failed", exc_info=failed.exc_value
    )
    sys.unraisablehook = lambda failed: log.error(
        "error that could not be raised", why=failed.err_msg, exc_info=failed.exc_value
    )
    warnings.showwarning = _log_warning


def _log_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("process ends", exc_info=(kind, error, trace))


def _log_warning(message: Warning | str, category: type[Warning], *place: Any, **_: Any) -> None:
    log.warning("python warning", kind=category.__name__, why=str(message), at=_at(place))


def _at(place: Sequence[Any]) -> str:
    filename, line, *_ = place
    return f"{Path(filename).name}:{line}"


def _log_repeated(repeated: Sequence[Repeated]) -> None:
    for line in repeated:
        log.info(
            "no longer repeated",
            line=line.event,
            why=line.why,
            times=line.times,
            seconds=line.seconds,
        )
