"""What the hook counts, for bots that want it: an observer that is told, and two that exist.

    hook = ChatFlowHook.from_env(metrics=prometheus_metrics())

`HookCounters` needs nothing; `prometheus_metrics` needs prometheus-client, which is the bot's to
install. docs/metrics.md has the table.
"""

import enum
import threading
from collections import Counter
from typing import Any, Protocol

import structlog

log = structlog.get_logger(__name__)

_TURN_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.9)


class TurnOutcome(enum.StrEnum):
    """What became of a turn: a picture is requested, it is only counted, or the hook failed."""

    REQUESTED = "requested"
    COUNTED = "counted"
    FAILED = "failed"


class HookMetrics(Protocol):
    """Is told what the hook does, in whatever thread and event loop that is.

    Its methods must return at once. What they raise is logged, and nothing else happens.
    """

    def turn(self, outcome: TurnOutcome, seconds: float) -> None:
        """Note a turn that was handed over, and how long the hook took for it."""
        ...

    def asked(self, *, is_limited: bool) -> None:
        """Note a picture or a variation that a person asked for; `is_limited`: there is none."""
        ...

    def enqueued(self, *, is_told: bool) -> None:
        """Note a request; `is_told`: the worker was told, and does not have to find it by itself."""
        ...


class HookCounters:
    """Counts in plain numbers; may be read at any time, in any thread."""

    def __init__(self) -> None:
        self.turns: Counter[TurnOutcome] = Counter()
        self.turn_seconds = 0.0
        self.asked_pictures = 0
        self.limited_pictures = 0
        self.told_requests = 0
        self.untold_requests = 0
        self._lock = threading.Lock()

    def turn(self, outcome: TurnOutcome, seconds: float) -> None:
        with self._lock:
            self.turns[outcome] += 1
            self.turn_seconds += seconds

    def asked(self, *, is_limited: bool) -> None:
        with self._lock:
            self.asked_pictures += 1
            self.limited_pictures += is_limited

    def enqueued(self, *, is_told: bool) -> None:
        with self._lock:
            self.told_requests += is_told
            self.untold_requests += not is_told


class _PrometheusMetrics:
    def __init__(self, registry: Any) -> None:
        from prometheus_client import Counter, Histogram  # noqa: PLC0415 (the bot may not have it)

        self._turns = Counter(
            "chatflow_hook_turns", "Turns that were handed over", ["outcome"], registry=registry
        )
        self._turn_seconds = Histogram(
            "chatflow_hook_turn_seconds",
            "Seconds that the hook took for a turn",
            buckets=_TURN_BUCKETS,
            registry=registry,
        )
        self._asked = Counter(
            "chatflow_hook_asked", "Pictures that people asked for", ["answer"], registry=registry
        )
        self._requests = Counter(
            "chatflow_hook_requests",
            "Requests, by what the worker knows",
            ["worker"],
            registry=registry,
        )

    def turn(self, outcome: TurnOutcome, seconds: float) -> None:
        self._turns.labels(outcome.value).inc()
        self._turn_seconds.observe(seconds)

    def asked(self, *, is_limited: bool) -> None:
        self._asked.labels("limited" if is_limited else "requested").inc()

    def enqueued(self, *, is_told: bool) -> None:
        self._requests.labels("told" if is_told else "finds_it").inc()


def prometheus_metrics(registry: Any = None) -> HookMetrics:
    """Return an observer that counts in a registry of prometheus-client; None is its global one.

    Call it once for each registry.

    Raises:
        ImportError: prometheus-client is not installed.
        ValueError: the registry has these metrics already.
    """
    from prometheus_client import REGISTRY  # noqa: PLC0415 (the bot may not have it)

    return _PrometheusMetrics(REGISTRY if registry is None else registry)


class GuardedMetrics:
    """Tells an observer of the bot, so that nothing that it raises reaches the chat."""

    def __init__(self, observer: HookMetrics | None) -> None:
        self._observer = observer

    def turn(self, outcome: TurnOutcome, seconds: float) -> None:
        self._tell("turn", outcome, seconds)

    def asked(self, *, is_limited: bool) -> None:
        self._tell("asked", is_limited=is_limited)

    def enqueued(self, *, is_told: bool) -> None:
        self._tell("enqueued", is_told=is_told)

    def _tell(self, method: str, *values: Any, **named: Any) -> None:
        if self._observer is None:
            return
        try:
            getattr(self._observer, method)(*values, **named)
        except Exception as error:  # noqa: BLE001 (the bot's own code; the chat comes first)
            log.warning("metrics of the bot failed", error=type(error).__name__)
