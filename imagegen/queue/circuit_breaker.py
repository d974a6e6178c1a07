"""Circuit breaker: stops the taking of jobs while different requests fail alike, one after another.

A request that fails alone may be the cause itself. Where several fail for the same reason and none
succeeds in between, none of them is: the fault lies in what all of them need.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

import structlog

from imagegen import logs
from imagegen.errors import ImagegenError, Unexpected

JobT = TypeVar("JobT")

log = structlog.get_logger(__name__)
# Only changes, see imagegen/log_repeats.py.
changes_log = structlog.get_logger(f"{__name__}.changes")


class CircuitBreaker:
    """Knows which requests of this worker failed alike since the last one that succeeded.

    Only errors that nobody foresaw count (Unexpected), and only a delivered picture is a success.
    It opens when `threshold` different requests have failed for the same reason since then,
    whatever else has failed in between. While it is open, one job per `trial_every_s` may start, to
    find out whether the trouble is over. It closes at the next success, and also when nothing has
    failed for `quiet_s`: then no request is left that could tell. `clock` returns seconds.
    """

    def __init__(
        self,
        *,
        threshold: int = 3,
        trial_every_s: float = 1.0,
        quiet_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threshold = threshold
        self._trial_every_s = trial_every_s
        self._quiet_s = quiet_s
        self._clock = clock
        # Which requests failed for each reason, as many of them as are needed to open.
        self._request_ids: dict[str, set[UUID]] = {}
        # The reason for which it is open, the latest one if there are several.
        self._open_reason: str | None = None
        self._failed_at = self._tried_at = 0.0
        self._has_succeeded = False

    async def why_open(self) -> str | None:
        """Return why few jobs are taken now, None if all are; a check of readiness."""
        if self._open_reason is None:
            return None
        return f"different requests fail alike: {self._open_reason}"

    def due(self, jobs: list[JobT]) -> list[JobT]:
        """Return those of the jobs that may start now: all of them, or one each second, or none."""
        if self._open_reason is None:
            return jobs
        now = self._clock()
        if now - self._failed_at > self._quiet_s:
            self._forget_failures()
            return jobs
        if not jobs or now - self._tried_at < self._trial_every_s:
            return []
        self._tried_at = now
        return jobs[:1]

    def succeeded(self) -> None:
        """Note that a picture was delivered: what is needed for that works."""
        self._has_succeeded = True
        self._forget_failures()

    @contextmanager
    def watching(self, request_id: UUID) -> Iterator[None]:
        """Note the error with which the block ends, if nobody foresaw it.

        A failure costs the request an attempt only if another one has succeeded since the failure
        before, since only then the fault may be its own.

        Raises:
            Unexpected: the block raised it, or an exception that is no ImagegenError.
        """
        try:
            yield
        except Unexpected as error:
            self._failed(request_id, error)
            raise
        except ImagegenError:
            raise
        except Exception as error:
            places = logs.places(error)
            # The message of the exception is not logged, since it may quote what people wrote.
            log.error("a fault of ours", error=type(error).__name__, at=places)  # noqa: TRY400
            unexpected = Unexpected(
                "Something went wrong inside.", reason=f"{type(error).__name__} at {places[-1]}"
            )
            self._failed(request_id, unexpected)
            raise unexpected from error

    def _failed(self, request_id: UUID, error: Unexpected) -> None:
        error.costs_an_attempt = error.costs_an_attempt and self._has_succeeded
        self._has_succeeded = False
        now = self._clock()
        if now - self._failed_at > self._quiet_s:
            self._forget_failures()
        self._failed_at = now

        failed_alike = self._request_ids.setdefault(error.reason, set())
        if len(failed_alike) < self._threshold:
            failed_alike.add(request_id)
        if len(failed_alike) >= self._threshold:
            if self._open_reason is None:
                changes_log.error(
                    "jobs are not taken", why=error.reason, requests=len(failed_alike)
                )
            self._open_reason = error.reason

    def _forget_failures(self) -> None:
        if self._open_reason is not None:
            changes_log.info("jobs are taken again", why=self._open_reason)
        self._request_ids.clear()
        self._open_reason = None
