"""What the doctor has found: how bad it is, one sentence of what is the case, one of what to do."""

import enum
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass


class Level(enum.IntEnum):
    """How bad a finding is; also the exit code of the command.

    Green: as it should be. Yellow: pictures are made, but somebody should look at it. Red: no
    picture is made, or those of one persona are not, or no picture arrives.
    """

    GREEN = 0
    YELLOW = 1
    RED = 2


@dataclass(frozen=True, kw_only=True)
class DoctorFinding:
    """One thing that was found. It holds no secret and nothing that people wrote.

    `advice` is the next step, None for a green finding.
    """

    level: Level
    sentence: str
    advice: str | None = None


Findings = AsyncGenerator[DoctorFinding, None]
# Asks about one subject. What was found before it is cancelled counts.
Check = Callable[[], Findings]


def green(sentence: str) -> DoctorFinding:
    """Return that something is as it should be."""
    return DoctorFinding(level=Level.GREEN, sentence=sentence)


def yellow(sentence: str, advice: str) -> DoctorFinding:
    """Return that pictures are made, but that somebody should look at something."""
    return DoctorFinding(level=Level.YELLOW, sentence=sentence, advice=advice)


def red(sentence: str, advice: str) -> DoctorFinding:
    """Return that pictures are not made or do not arrive."""
    return DoctorFinding(level=Level.RED, sentence=sentence, advice=advice)


def tls_advice(sentence: str) -> str | None:
    """Return what to do if a connection failed for TLS, by its sentence; None if that is not why."""
    if "certificate that is not trusted" in sentence:
        return (
            "give that server a valid certificate, or let this machine trust who has signed it; an "
            "expired one may also be a wrong clock (date)"
        )
    if "TLS" in sentence:
        return "let both sides use TLS, or neither: the scheme or sslmode= of the address says it"
    return None
