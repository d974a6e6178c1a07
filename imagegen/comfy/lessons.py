"""Lessons: what the pool learns of its hosts from how prompts and probes end."""

import random
from collections.abc import Callable, Sequence

import structlog

from imagegen.comfy import health
from imagegen.comfy.blame import Blame
from imagegen.comfy.errors import (
    DrawingFailed,
    DrawingStalled,
    DrawingTooSlow,
    HostBusy,
    HostLacks,
    HostLost,
    OutOfMemory,
    PictureGone,
    PictureMissing,
    PromptLost,
    PromptRefused,
)
from imagegen.comfy.health import Condition, Health
from imagegen.comfy.member import Member
from imagegen.comfy.stock import Lack, Needs

log = structlog.get_logger(__name__)

Clock = Callable[[], float]


class Lessons:
    """Keeps the health of all hosts."""

    def __init__(self, members: Sequence[Member], *, clock: Clock, chance: random.Random) -> None:
        self._members = members
        self._clock = clock
        self._chance = chance
        self._blame = Blame()

    def drew(self, member: Member, needs: Needs | None) -> None:
        """Learn that a lease ended well."""
        self._blame.drew(member.name, needs.model_set if needs else "")
        self._turn(member, health.after_draw())

    def failed(self, member: Member, needs: Needs | None, error: Exception) -> None:
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
                member.look_again()
                self._turn(member, health.after_answer(member.health))
            case HostBusy() | PromptRefused() | PictureMissing() | PictureGone():
                self._turn(member, health.after_answer(member.health))
            case _:
                pass

    def answered(self, member: Member) -> None:
        """Learn that the host answered a probe."""
        self._turn(member, health.after_probe(member.health))

    def silent(self, member: Member, error: HostLost) -> None:
        """Learn that the host did not answer a probe."""
        after = health.after_silence(member.health, now=self._clock(), jitter=self._chance.random())
        self._turn(member, after, why=error.sentence)

    def _lost(self, member: Member, error: HostLost) -> None:
        after = health.after_loss(member.health, now=self._clock(), jitter=self._chance.random())
        self._turn(member, after, why=error.sentence)
        member.look_again()

    def _lacks(self, member: Member, needs: Needs | None, error: HostLacks) -> None:
        if needs is not None:
            lack = Lack(code=error.code, sentence=error.sentence)
            member.refuse(needs, lack, now=self._clock())
        self._turn(member, health.after_answer(member.health))

    def _bad_draw(self, member: Member, needs: Needs | None, why: str) -> None:
        if needs is not None:
            self._blame.failed(member.name, needs.model_set)
        if not self._blame.falls_on(member.name):
            self._turn(member, health.after_answer(member.health))
        elif self._is_last_one_up(member):
            # Requests that fail with a reason are better than requests that wait for nothing.
            log.error("the only host fails whatever it draws", host=member.name, why=why)
        else:
            after = health.after_bad_draws(
                member.health, now=self._clock(), jitter=self._chance.random()
            )
            self._turn(member, after, why=why)

    def _is_last_one_up(self, member: Member) -> bool:
        return not any(each.health.is_up for each in self._members if each is not member)

    def _turn(self, member: Member, after: Health, *, why: str | None = None) -> None:
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
