"""Pause gate: what an operator has paused goes back to the queue before it is drawn."""

import logging
from collections.abc import Sequence
from uuid import UUID

import structlog

from chatflow_hook.tables import State
from imagegen.errors import Unavailable
from imagegen.pool.host import SlotLease
from imagegen.queue.job_lease import MAX_DEFERRAL_S
from imagegen.requests.claim import ClaimedRequest, TooLate
from imagegen.requests.pauses import Pause, Pauses, PauseScope

# Only changes, see imagegen/log_repeats.py.
changes_log = structlog.get_logger(f"{__name__}.changes")

# All workers are to obey within two seconds.
EVERY_S = 1.5
# How soon a request that waits looks again, and how many looks a second all of them may cost.
_LOOK_AGAIN_S = 2.0
_LOOKS_PER_S = 100


class Paused(Unavailable):
    """An operator has paused the request's persona or kind: it waits, and loses no attempt."""

    code = "paused"
    # Each request says so every few seconds; that the pause began is logged once.
    level = logging.DEBUG


class PausedTooLong(TooLate):
    """An operator has paused the request's persona or kind until it was older than REQUEST_MAX_AGE."""

    code = "paused_too_long"
    level = logging.INFO


class PauseGate:
    """Keeps queued requests from being drawn while their persona or kind is paused.

    `step` reads the pauses and is to be called within 1.5 s of a new one. A worker that cannot read
    them goes on by those that it has read. `max_age_s`: at so many seconds a request expires, also
    while it is paused; 0 for never.
    """

    def __init__(self, pauses: Pauses, *, max_age_s: float) -> None:
        self._pauses = pauses
        self._max_age_s = max_age_s
        self._active: Sequence[Pause] = ()
        self._held = 0

    async def step(self) -> bool:
        """Read the pauses, and log those that have begun or ended.

        Returns True while there is any: then call it again after 1.5 s, or its end would go unseen.

        Raises:
            Unavailable: PostgreSQL is away or not migrated.
        """
        before, self._active = self._active, await self._pauses.all()
        for pause in self._active:
            if pause not in before:
                changes_log.info("paused", scope=pause.scope.value, name=pause.name)
        for pause in before:
            if pause not in self._active:
                changes_log.info("resumed", scope=pause.scope.value, name=pause.name)
        self._held = await self._pauses.count_held() if self._active else 0
        return bool(self._active)

    async def why_held(self) -> str | None:
        """Return what is paused and how to resume it, None if nothing is; a check of readiness."""
        sentences = (f"{each.sentence}: `{each.how_to_resume}`" for each in self._active)
        return "; ".join(sentences) or None

    async def check(self, request_id: UUID) -> None:
        """Return if the request may be taken up; call it before the claim, which writes.

        A request that is too old may: it is to end.

        Raises:
            Paused: it is to wait.
            Unavailable: PostgreSQL is away.
        """
        if self._active and await self._pauses.holds(request_id, max_age_s=self._max_age_s):
            raise self._paused("its persona or its kind is paused")

    def check_still_wanted(self, request: ClaimedRequest) -> None:
        """Return if the picture of a request is still wanted.

        Raises:
            PausedTooLong: the request is too old, and was kept in the queue by a pause until now.
            TooLate: it is too old.
        """
        try:
            request.time_left_s(self._max_age_s)
        except TooLate as error:
            pause = self._pause_of(request) if request.state is State.QUEUED else None
            if pause is None:
                raise
            raise PausedTooLong(f"{pause.sentence}, and {error.sentence}") from None

    def check_slot(self, request: ClaimedRequest, lease: SlotLease) -> None:
        """Return if the request, which was claimed before a pause began, may use its slot.

        A prompt that is on its host already is followed to its end.

        Raises:
            Paused: it is to wait.
        """
        pause = self._pause_of(request)
        if pause is not None and not lease.is_resumption:
            raise self._paused(pause.sentence)

    def _pause_of(self, request: ClaimedRequest) -> Pause | None:
        names = {PauseScope.PERSONA: request.persona, PauseScope.KIND: request.kind.value}
        return next((each for each in self._active if names[each.scope] == each.name), None)

    def _paused(self, sentence: str) -> Paused:
        look_again_s = max(_LOOK_AGAIN_S, self._held / _LOOKS_PER_S)
        return Paused(sentence, retry_after_s=min(look_again_s, MAX_DEFERRAL_S))
