"""HealthTracker: keeps the health of all hosts, from how prompts and probes end."""

import asyncio
import random
from collections.abc import Callable, Collection

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
    LoadingTooSlow,
    OutOfMemory,
    PromptLost,
    PromptRefused,
)
from imagegen.db.tables import HostUse
from imagegen.pool import health
from imagegen.pool.health import Condition, FailureStreaks, Health
from imagegen.pool.host import PooledHost

# Only changes, see imagegen/log_repeats.py.
log = structlog.get_logger(f"{__name__}.changes")

Clock = Callable[[], float]


class HealthTracker:
    """Sets the health of hosts; `requirements` is None for a prompt that was on the host before.

    `hosts` may change: it is read anew each time.
    """

    def __init__(
        self, hosts: Collection[PooledHost], *, clock: Clock, chance: random.Random
    ) -> None:
        self._hosts = hosts
        self._clock = clock
        self._chance = chance
        self._streaks = FailureStreaks()

    def forget(self, host: PooledHost) -> None:
        """Forget a host that has left the pool."""
        self._streaks.forget(host.name)

    def record_success(self, host: PooledHost, requirements: Requirements | None) -> None:
        """Note that a lease has ended without an error."""
        host.loaded = requirements.model_set if requirements else None
        if requirements is not None:
            host.note_memory_suffices(requirements.model_set)
        self._streaks.succeeded(host.name, requirements.model_set if requirements else "")
        self._set_health(host, health.after_draw())

    def record_failure(
        self, host: PooledHost, requirements: Requirements | None, error: Exception
    ) -> None:
        """Note the error with which a lease has ended; errors that no host gives are ignored."""
        if isinstance(error, HostLost | PromptLost | OutOfMemory | DrawingFailed):
            host.loaded = None
        match error:
            case HostLost():
                self._record_loss(host, error)
            case HostLacks():
                self._record_refusal(host, requirements, error)
            case OutOfMemory():
                if requirements is not None:
                    host.note_lack_of_memory(requirements.model_set, now=self._clock())
                self._record_bad_draw(host, requirements, error.sentence)
            case DrawingFailed() | DrawingStalled() | DrawingTooSlow():
                self._record_bad_draw(host, requirements, error.sentence)
            case PromptLost():
                # The host may have been restarted, with other files.
                host.request_check()
                self._set_health(host, health.after_prompt_answer(host.health))
            case HostBusy() | LoadingTooSlow() | PromptRefused() | ImageMissing() | ImageGone():
                self._set_health(host, health.after_prompt_answer(host.health))
            case _:
                pass

    def record_contact(self, host: PooledHost) -> None:
        """Note that the host has answered a probe, but is not ready for a new prompt yet."""
        self._set_health(host, health.after_contact(host.health))

    async def ask(self, host: PooledHost, *, within_s: float) -> bool:
        """Ask the host now and return whether it answers; an answer is noted as contact."""
        try:
            async with asyncio.timeout(within_s):
                length = await host.client.probe()
        except (HostLost, TimeoutError):
            return False
        host.note_queue(length, now=self._clock())
        self.record_contact(host)
        return True

    def record_ready(self, host: PooledHost) -> None:
        """Note that the host has answered a probe and is ready for a new prompt."""
        self._set_health(host, health.after_probe(host.health))

    def record_silence(
        self, host: PooledHost, error: HostLost, *, asked_at: float | None = None
    ) -> None:
        """Note that the host has not answered a probe that was sent at `asked_at`; None: now."""
        host.asked_in_vain_at = self._clock() if asked_at is None else asked_at
        host.loaded = None
        after = health.after_silence(host.health, now=self._clock(), jitter=self._chance.random())
        self._set_health(host, after, why=error.sentence)

    def _record_loss(self, host: PooledHost, error: HostLost) -> None:
        host.asked_in_vain_at = self._clock()
        after = health.after_loss(host.health, now=self._clock(), jitter=self._chance.random())
        self._set_health(host, after, why=error.sentence)
        host.request_check()

    def _record_refusal(
        self, host: PooledHost, requirements: Requirements | None, error: HostLacks
    ) -> None:
        if requirements is not None:
            missing = Missing(code=error.code, sentence=error.sentence)
            host.note_refusal(requirements, missing, now=self._clock())
        self._set_health(host, health.after_prompt_answer(host.health))

    def _record_bad_draw(
        self, host: PooledHost, requirements: Requirements | None, why: str
    ) -> None:
        if requirements is not None:
            self._streaks.failed(host.name, requirements.model_set)
        if self._streaks.is_host_at_fault(host.name) and self._could_another_draw(
            host, requirements
        ):
            after = health.after_bad_draws(
                host.health, now=self._clock(), jitter=self._chance.random()
            )
        else:
            after = health.after_prompt_answer(host.health)
        self._set_health(host, after, why=why)

    def _could_another_draw(self, host: PooledHost, requirements: Requirements | None) -> bool:
        # Requests that fail with a reason are better than requests that wait for no host.
        return any(
            each.health.is_up
            and each.use is HostUse.ACTIVE
            and not (requirements and each.missing(requirements))
            for each in self._hosts
            if each is not host
        )

    def _set_health(self, host: PooledHost, after: Health, *, why: str | None = None) -> None:
        before, host.health = host.health, after
        host.why = None if after.is_up else why or host.why
        if before.is_silent and not after.is_silent:
            self._note_return(host)
        if after.condition is before.condition:
            return
        match after.condition:
            case Condition.UP:
                log.info("host is back", host=host.name)
            case Condition.ASIDE:
                log.error("host put aside", host=host.name, why=host.why)
            case Condition.SUSPECT | Condition.DOWN:
                log.warning(
                    "host failed", host=host.name, condition=after.condition.value, why=host.why
                )

    def _note_return(self, host: PooledHost) -> None:
        host.answers_since = self._clock()
        for other in self._hosts:
            after = health.after_recovery_elsewhere(other.health, now=self._clock())
            if after is not other.health:
                other.health = after
                other.request_check()
