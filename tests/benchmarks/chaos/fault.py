"""A scheduled fault: what breaks, when, and for how long."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is broken, and how."""

    WORKER_KILLED = "worker killed"
    WORKER_FROZEN = "worker frozen"
    WORKER_REPLACED = "worker replaced"
    REDIS_STOPPED = "redis stopped"
    REDIS_FROZEN = "redis frozen"
    REDIS_FLUSHED = "redis flushed"
    POSTGRES_STOPPED = "postgres stopped"
    POSTGRES_KILLED = "postgres killed"
    POSTGRES_FROZEN = "postgres frozen"
    HOST_KILLED = "host killed"
    HOST_FROZEN = "host frozen"
    HOST_FAULTY = "host faulty"
    ALL_HOSTS_KILLED = "all hosts killed"
    TELEGRAM_AWAY = "telegram away"
    TELEGRAM_TROUBLED = "telegram troubled"


# While one of these lasts, no picture can be delivered.
_TOTAL = {
    Kind.REDIS_STOPPED,
    Kind.REDIS_FROZEN,
    Kind.POSTGRES_STOPPED,
    Kind.POSTGRES_KILLED,
    Kind.POSTGRES_FROZEN,
    Kind.ALL_HOSTS_KILLED,
    Kind.TELEGRAM_AWAY,
}


@dataclass(frozen=True, kw_only=True)
class ScheduledFault:
    """A fault due `at_s` after the start of the run, healed `lasts_s` later.

    `target` is the number of a worker or host, `detail` the fault of a host or of Telegram.
    """

    at_s: float
    kind: Kind
    lasts_s: float = 0.0
    target: int = 0
    detail: str = ""

    @property
    def ends_s(self) -> float:
        return self.at_s + self.lasts_s

    @property
    def is_total(self) -> bool:
        """Whether no picture can be expected while it lasts."""
        return self.kind in _TOTAL

    def __str__(self) -> str:
        what = f"{self.kind} {self.target} {self.detail}".rstrip()
        return f"{self.at_s:.1f} s: {what} for {self.lasts_s:.1f} s"
