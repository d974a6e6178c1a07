"""Readiness: checks are asked at most once a second, each within its limit."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from imagegen.errors import ImagegenError

log = structlog.get_logger(__name__)

Check = Callable[[], Awaitable[str | None]]

# A probe gives up after a second or a few.
_ANSWER_WITHIN_S = 2.0
# After that it is not asked for either; closing a connection to a frozen server takes time.
_ASK_WITHIN_S = 4.0
_FRESH_S = 1.0
_GRACE_S = 1.0


class CachedCheck:
    """Remembers an answer for a while, and never asks twice at the same time.

    `ask` returns or raises what is missing; that nothing is stays true for `well_for_s`.
    """

    def __init__(
        self,
        ask: Check,
        *,
        well_for_s: float = _FRESH_S,
        answer_within_s: float = _ANSWER_WITHIN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._well_for_s = well_for_s
        self._answer_within_s = answer_within_s
        self._clock = clock
        self._asked: asyncio.Task[str | None] | None = None
        self._asked_at = self._answered_at = 0.0

    async def answer(self) -> str | None:
        """Return what is missing, None if nothing is; raises nothing."""
        if self._asked is None or self._is_stale(self._asked):
            self._asked_at = self._clock()
            self._asked = asyncio.create_task(self._run_check(), name="question of a probe")
        left = self._asked_at + self._answer_within_s - self._clock()
        await asyncio.wait({self._asked}, timeout=max(0.0, left))
        if not self._asked.done() or self._asked.cancelled():
            return f"no answer within {self._answer_within_s:g} s"
        return self._asked.result()

    async def close(self) -> None:
        """Ask no more."""
        if self._asked is not None:
            self._asked.cancel()
            await asyncio.wait({self._asked}, timeout=_GRACE_S)

    def _is_stale(self, asked: "asyncio.Task[str | None]") -> bool:
        if not asked.done() or asked.cancelled():
            return False
        fresh_s = self._well_for_s if asked.result() is None else _FRESH_S
        return self._clock() >= self._answered_at + fresh_s

    async def _run_check(self) -> str | None:
        try:
            async with asyncio.timeout(_ASK_WITHIN_S):
                return await self._ask()
        except TimeoutError:
            return f"no answer within {_ASK_WITHIN_S:g} s"
        except ImagegenError as error:
            return error.sentence
        except Exception as error:  # noqa: BLE001 (whatever it is, the probe gets an answer)
            log.error("question failed", error=type(error).__name__)  # noqa: TRY400
            return type(error).__name__
        finally:
            self._answered_at = self._clock()


_STARTING: Mapping[str, str] = {"worker": "it starts"}


@dataclass(frozen=True, kw_only=True)
class ReadinessReport:
    """How a worker stands: ready if it neither lacks something nor stops."""

    is_stopping: bool
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """Whether the worker takes jobs and can make pictures."""
        return not (self.is_stopping or self.missing)


class Readiness:
    """Asks all questions at once; before there are any, the worker is not ready."""

    def __init__(self, is_stopping: Callable[[], bool]) -> None:
        self._is_stopping = is_stopping
        self._questions: Mapping[str, CachedCheck] = {}

    @asynccontextmanager
    async def checking(self, questions: Mapping[str, CachedCheck]) -> AsyncIterator[None]:
        """Ask these while the block runs."""
        self._questions = questions
        try:
            yield
        finally:
            self._questions = {}
            await asyncio.gather(*(each.close() for each in questions.values()))

    async def report(self) -> ReadinessReport:
        """Say how the worker stands, within about two seconds."""
        if self._is_stopping():
            return ReadinessReport(is_stopping=True)
        asked = dict(self._questions)
        if not asked:
            return ReadinessReport(is_stopping=False, missing=_STARTING)
        answers = await asyncio.gather(*(each.answer() for each in asked.values()))
        return ReadinessReport(
            is_stopping=self._is_stopping(),
            missing={name: why for name, why in zip(asked, answers, strict=True) if why},
        )
