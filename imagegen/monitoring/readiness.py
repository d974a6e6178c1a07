"""Readiness: whether the worker can make pictures now, answered within about two seconds.

However many probes ask, each check runs at most once at a time and at most once a second.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from imagegen.errors import ImagegenError

log = structlog.get_logger(__name__)

Check = Callable[[], Awaitable[str | None]]

# Health checks of containers give up after one second or a few.
_ANSWER_WITHIN_S = 2.0
# A check is cancelled this long after its start. It is longer than the time for an answer, since
# closing a connection to a frozen server takes time.
_CHECK_TIMEOUT_S = 4.0
_FRESH_S = 1.0
_CANCEL_WITHIN_S = 1.0

_STARTING: Mapping[str, str] = {"worker": "it starts"}


@dataclass(frozen=True, kw_only=True)
class ReadinessReport:
    """Whether the worker is ready; `missing` says by name of the check what is missing.

    `warnings` says by name of the check what is wrong though pictures are made. `checks` are the
    names of all checks that were made. `clocks_ahead_s`: by server, how many seconds its clock is
    ahead of this worker's. No difference makes the worker unready, since nothing is decided by its
    clock.
    """

    is_stopping: bool
    missing: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[str, ...] = ()
    clocks_ahead_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """Whether the worker takes jobs and can make pictures."""
        return not (self.is_stopping or self.missing)

    @property
    def failing(self) -> frozenset[str]:
        """The names of the checks that found anything wrong."""
        return frozenset({*self.missing, *self.warnings})


class Readiness:
    """Runs all checks at the same time; before it has any, the worker is not ready."""

    def __init__(self, is_stopping: Callable[[], bool]) -> None:
        self._is_stopping = is_stopping
        self._checks: Mapping[str, CachedCheck] = {}
        self._warning_checks: Mapping[str, CachedCheck] = {}
        self._clocks_ahead_s: Callable[[], Mapping[str, float]] = dict

    @asynccontextmanager
    async def checking(
        self,
        checks: Mapping[str, "CachedCheck"],
        *,
        warning_checks: Mapping[str, "CachedCheck"] | None = None,
        clocks_ahead_s: Callable[[], Mapping[str, float]] = dict,
    ) -> AsyncIterator[None]:
        """Use these checks while the block runs; they are closed at its end.

        What `warning_checks` find is told, and the worker stays ready. Both may have a check of the
        same name: one for all that is lost, one for a part. `clocks_ahead_s` returns what the report says of the servers' clocks.
        """
        self._checks = checks
        self._warning_checks = warning_checks or {}
        self._clocks_ahead_s = clocks_ahead_s
        try:
            yield
        finally:
            closing = [*checks.values(), *self._warning_checks.values()]
            self._checks = self._warning_checks = {}
            await asyncio.gather(*(check.close() for check in closing))

    async def report(self) -> ReadinessReport:
        """Return the state of the worker, within about two seconds; it raises nothing."""
        if self._is_stopping():
            return ReadinessReport(is_stopping=True)
        checks, warning_checks = self._checks, self._warning_checks
        if not checks:
            return ReadinessReport(is_stopping=False, missing=_STARTING)
        missing, warnings = await asyncio.gather(_answers(checks), _answers(warning_checks))
        return ReadinessReport(
            is_stopping=self._is_stopping(),
            missing=missing,
            warnings={name: why for name, why in warnings.items() if name not in missing},
            checks=tuple({**checks, **warning_checks}),
            clocks_ahead_s=self._clocks_ahead_s(),
        )


class CachedCheck:
    """A check whose answer is kept for a while, and which never runs twice at the same time.

    `check` returns what is missing, None if nothing is, or raises an error. An answer None is kept
    for `ok_for_s`, every other one for a second.
    """

    def __init__(
        self,
        check: Check,
        *,
        ok_for_s: float = _FRESH_S,
        answer_within_s: float = _ANSWER_WITHIN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._check = check
        self._ok_for_s = ok_for_s
        self._answer_within_s = answer_within_s
        self._clock = clock
        self._run: asyncio.Task[str | None] | None = None
        self._started_at = self._ended_at = 0.0

    async def answer(self) -> str | None:
        """Return what is missing, None if nothing is, within `answer_within_s`; it raises nothing.

        A check that takes longer goes on, and a later call gets its answer.
        """
        if self._run is None or self._is_stale(self._run):
            self._started_at = self._clock()
            self._run = asyncio.create_task(self._run_check(), name="readiness check")
        left_s = self._started_at + self._answer_within_s - self._clock()
        await asyncio.wait({self._run}, timeout=max(0.0, left_s))
        if not self._run.done() or self._run.cancelled():
            return f"no answer within {self._answer_within_s:g} s"
        return self._run.result()

    async def close(self) -> None:
        """Cancel a check that runs, and wait up to a second for its end."""
        if self._run is not None:
            self._run.cancel()
            await asyncio.wait({self._run}, timeout=_CANCEL_WITHIN_S)

    def _is_stale(self, run: "asyncio.Task[str | None]") -> bool:
        if not run.done() or run.cancelled():
            return False
        fresh_s = self._ok_for_s if run.result() is None else _FRESH_S
        return self._clock() >= self._ended_at + fresh_s

    async def _run_check(self) -> str | None:
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT_S):
                return await self._check()
        except TimeoutError:
            return f"no answer within {_CHECK_TIMEOUT_S:g} s"
        except ImagegenError as error:
            return error.sentence
        except Exception as error:  # noqa: BLE001 (the probe gets an answer after any error)
            log.error("question failed", error=type(error).__name__)  # noqa: TRY400
            return type(error).__name__
        finally:
            self._ended_at = self._clock()


async def _answers(checks: Mapping[str, CachedCheck]) -> Mapping[str, str]:
    """Return what is missing by the name of the check, without those that lack nothing."""
    answers = await asyncio.gather(*(check.answer() for check in checks.values()))
    return {name: why for name, why in zip(checks, answers, strict=True) if why}
