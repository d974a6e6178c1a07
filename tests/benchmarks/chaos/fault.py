"""A scheduled fault: what breaks, when, and for how long."""

from dataclasses import dataclass
from enum import StrEnum


class ChaosFaultKind(StrEnum):
    """What is broken, and how; the first word names the part."""

    WORKER_KILLED = "worker killed"
    WORKER_FROZEN = "worker frozen"
    WORKER_REPLACED = "worker replaced"
    WORKER_CLOCK_WRONG = "worker clock wrong"
    WORKERS_KILLED_TWICE = "workers killed twice"
    REDIS_STOPPED = "redis stopped"
    REDIS_FROZEN = "redis frozen"
    REDIS_FLUSHED = "redis flushed"
    REDIS_REFUSES_WRITES = "redis refuses writes"
    REDIS_LOSES_KEYS = "redis loses keys"
    POSTGRES_STOPPED = "postgres stopped"
    POSTGRES_KILLED = "postgres killed"
    POSTGRES_FROZEN = "postgres frozen"
    POSTGRES_READ_ONLY = "postgres read-only"
    POSTGRES_SESSIONS_READ_ONLY = "postgres sessions stay read-only"
    POSTGRES_CONNECTIONS_DEAD = "postgres connections dead"
    HOST_KILLED = "host killed"
    HOST_FROZEN = "host frozen"
    HOST_FROZEN_LONG = "host frozen long"
    HOST_FAULTY = "host faulty"
    ALL_HOSTS_KILLED = "all hosts killed"
    TELEGRAM_AWAY = "telegram away"
    TELEGRAM_DROPS_PACKETS = "telegram drops packets"
    TELEGRAM_TROUBLED = "telegram troubled"
    STORE_FULL = "store full"
    STORE_READ_ONLY = "store read-only"
    STORE_MISSING = "store missing"


# While one of these lasts, no picture can be delivered.
_TOTAL = {
    ChaosFaultKind.WORKERS_KILLED_TWICE,
    ChaosFaultKind.REDIS_STOPPED,
    ChaosFaultKind.REDIS_FROZEN,
    ChaosFaultKind.REDIS_REFUSES_WRITES,
    ChaosFaultKind.POSTGRES_STOPPED,
    ChaosFaultKind.POSTGRES_KILLED,
    ChaosFaultKind.POSTGRES_FROZEN,
    ChaosFaultKind.POSTGRES_READ_ONLY,
    ChaosFaultKind.POSTGRES_SESSIONS_READ_ONLY,
    ChaosFaultKind.ALL_HOSTS_KILLED,
    ChaosFaultKind.TELEGRAM_AWAY,
    ChaosFaultKind.TELEGRAM_DROPS_PACKETS,
    ChaosFaultKind.STORE_FULL,
    ChaosFaultKind.STORE_READ_ONLY,
    ChaosFaultKind.STORE_MISSING,
}


@dataclass(frozen=True, kw_only=True)
class ScheduledFault:
    """A fault due `at_s` after the start of the run, healed `lasts_s` later.

    `target` is the number of a worker or host. `detail` is the fault of a host or of Telegram, or
    by how many seconds a worker's clock is wrong.
    """

    at_s: float
    kind: ChaosFaultKind
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
