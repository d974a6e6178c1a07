"""Lessons: what the pool learns of its hosts from how prompts and probes end."""

import random
from collections.abc import Callable, Sequence

import structlog

from imagegen.comfy.capabilities import Missing, Requirements
from imagegen.comfy.errors import (
    DrawingFailed,
    DrawingStalled,
    DrawingTooSlow,
    HostBusy,
    HostLacks,
    HostLost,
    ImageGone,
    ImageMissing,
    OutOfMemory,
    PromptLost,
    PromptRefused,
)
from imagegen.pool import health
from imagegen.pool.health import Condition, FailureStreaks, Health
from imagegen.pool.host import PooledHost

log = structlog.get_logger(__name__)

Clock = Callable[[], float]


class HealthTracker:
    """Keeps the health of all hosts."""

    def __init__(
        self, members: Sequence[PooledHost], *, clock: Clock, chance: random.Random
    ) -> None:
        self._members = members
        self._clock = clock
        self._chance = chance
        self._blame = FailureStreaks()

    def record_success(self, member: PooledHost, needs: Requirements | None) -> None:
        """Learn that a lease ended well."""
        self._blame.succeeded(member.name, needs.model_set if needs else "")
        self._set_health(member, health.after_draw())

    def record_failure(
        self, member: PooledHost, needs: Requirements | None, error: Exception
    ) -> None:
        """Learn from the error with which a lease ended; what is no word of the host says nothing."""
        match error:
            case HostLost():
                self._lost(member, error)
            case HostLacks():
                self._lacks(member, needs, error)
            case DrawingFailed() | OutOfMemory() | DrawingStalled() | DrawingTooSlow():
                self._bad_draw(member, needs, error.sentence)
            case PromptLost():
                # The host may have been started anew, with other files.
                member.forget_refusals()
                self._set_health(member, health.after_answer(member.health))
            case HostBusy() | PromptRefused() | ImageMissing() | ImageGone():
                self._set_health(member, health.after_answer(member.health))
            case _:
                pass

    def record_answer(self, member: PooledHost) -> None:
        """Learn that the host answered a probe."""
        self._set_health(member, health.after_probe(member.health))

    def record_silence(self, member: PooledHost, error: HostLost) -> None:
        """Learn that the host did not answer a probe."""
        after = health.after_silence(member.health, now=self._clock(), jitter=self._chance.random())
        self._set_health(member, after, why=error.sentence)

    def _lost(self, member: PooledHost, error: HostLost) -> None:
        after = health.after_loss(member.health, now=self._clock(), jitter=self._chance.random())
        self._set_health(member, after, why=error.sentence)
        member.forget_refusals()

    def _lacks(self, member: PooledHost, needs: Requirements | None, error: HostLacks) -> None:
        if needs is not None:
            lack = Missing(code=error.code, sentence=error.sentence)
            member.refuse(needs, lack, now=self._clock())
        self._set_health(member, health.after_answer(member.health))

    def _bad_draw(self, member: PooledHost, needs: Requirements | None, why: str) -> None:
        if needs is not None:
            self._blame.failed(member.name, needs.model_set)
        if self._blame.is_host_at_fault(member.name) and not self._is_last_one_up(member):
            after = health.after_bad_draws(
                member.health, now=self._clock(), jitter=self._chance.random()
            )
        else:
            after = health.after_answer(member.health)
        self._set_health(member, after, why=why)

    def _is_last_one_up(self, member: PooledHost) -> bool:
        # Requests that fail and say why are better than requests that wait for nothing.
        return not any(each.health.is_up for each in self._members if each is not member)

    def _set_health(self, member: PooledHost, after: Health, *, why: str | None = None) -> None:
        before, member.health = member.health.condition, after
        member.why = None if after.is_up else why or member.why
        if after.condition is before:
            return
        match after.condition:
            case Condition.UP:
                log.info("host is back", host=member.name)
            case Condition.ASIDE:
                log.error("host put aside", host=member.name, why=member.why)
            case Condition.SUSPECT | Condition.DOWN:
                log.warning(
                    "host failed", host=member.name, condition=after.condition.value, why=member.why
                )
