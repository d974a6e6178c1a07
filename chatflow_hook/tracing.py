"""Traces by OpenTelemetry, where the process uses it; everywhere else all of this does nothing.

OpenTelemetry is never imported here first: a process that sends traces has imported it to set up
its provider. No span has an attribute with the id of a user or a chat, or with a word of it.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# What a span may be said to have; OpenTelemetry takes these as they are.
Attribute = str | bool | int | float

_SCOPE = "chatflow-imagegen"
_NS = 1_000_000_000


class Tracing:
    """Makes spans with a tracer provider of OpenTelemetry.

    `provider` None is the process's own, as `opentelemetry.trace.set_tracer_provider` has set it.
    """

    def __init__(self, provider: Any = None) -> None:
        self._provider = provider

    @contextmanager
    def span(
        self, name: str, *, parent: str | None = None, **attributes: Attribute | None
    ) -> Iterator[None]:
        """Trace the block as a span, within the present one or within that of a `traceparent`.

        An exception of the block sets the status of the span to its `code`, or to its type: its
        words stay out, since they may be those of a chat. Attributes that are None are left out.
        """
        api = _api()
        if api is None:
            yield
            return
        with api.get_tracer(_SCOPE, tracer_provider=self._provider).start_as_current_span(
            name,
            context=None if parent is None else _context_of(parent),
            attributes=_present(attributes),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:
                why = getattr(error, "code", None) or type(error).__name__
                span.set_status(api.StatusCode.ERROR, str(why))
                raise

    def past_span(
        self, name: str, *, began_s_ago: float, ended_s_ago: float, **attributes: Attribute | None
    ) -> None:
        """Add a span of the past within the present one."""
        api = _api()
        if api is None:
            return
        now = time.time_ns()
        span = api.get_tracer(_SCOPE, tracer_provider=self._provider).start_span(
            name, start_time=now - int(began_s_ago * _NS), attributes=_present(attributes)
        )
        span.end(now - int(ended_s_ago * _NS))

    def note(self, **attributes: Attribute | None) -> None:
        """Set attributes of the present span."""
        api = _api()
        if api is not None:
            api.get_current_span().set_attributes(_present(attributes))


def traced() -> dict[str, str]:
    """Return the column of a new request that says to which span it belongs, if there is one.

    Its value has the form of W3C's header `traceparent`.
    """
    carrier: dict[str, str] = {}
    if _api() is not None:
        _propagator().inject(carrier)
    return {name: value for name, value in carrier.items() if name == "traceparent"}


def _api() -> Any:
    """Return the module of OpenTelemetry's API; None if this process has not imported it."""
    return sys.modules.get("opentelemetry.trace")


def _context_of(traceparent: str) -> Any:
    return _propagator().extract({"traceparent": traceparent})


def _propagator() -> Any:
    from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 (it may be missing)

    return tracecontext.TraceContextTextMapPropagator()


def _present(attributes: dict[str, Attribute | None]) -> dict[str, Attribute]:
    return {f"chatflow.{name}": value for name, value in attributes.items() if value is not None}
