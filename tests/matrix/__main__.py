"""`python -m tests.matrix`: install the wheel beside other packages, run a bot, print a table."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from imagegen.sandbox.servers.servers import Servers, running_servers
from imagegen.sandbox.signals import sigterm_exits
from tests.matrix import environment
from tests.matrix.backends import running_worker
from tests.matrix.combinations import Combination, combinations
from tests.matrix.environment import CommandFailed

_JOURNEY = Path(__file__).with_name("journey.py")
_SHOWN = ("aiogram", "python-telegram-bot", "fastapi", "redis", "pydantic", "sqlalchemy", "asyncpg")
_HEAD = ("beside", "Python", "versions", "result", "seconds")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How it went with one combination; no `versions` if it `failed`."""

    combination: Combination
    versions: Mapping[str, str]
    result: str
    seconds: float

    @property
    def failed(self) -> bool:
        return not self.versions


def main() -> int:
    """Run what was asked for; 1 if a combination failed."""
    parser = argparse.ArgumentParser(prog="make matrix", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three combinations only")
    parser.add_argument("--only", metavar="WORDS", default="", help="those with it in their name")
    given = parser.parse_args()
    chosen = [
        each
        for each in combinations()
        if given.only in str(each) and (each.is_quick or not given.quick)
    ]
    structlog.configure(processors=[_drop])
    with (
        sigterm_exits(),
        tempfile.TemporaryDirectory(prefix="matrix-") as home,
        running_servers() as servers,
    ):
        outcomes = asyncio.run(_run_all(chosen, servers, Path(home)))
    _say(f"\n{table(outcomes)}")
    return int(any(each.failed for each in outcomes))


async def _run_all(
    chosen: Iterable[Combination], servers: Servers, home: Path
) -> Sequence[Outcome]:
    wheel = await environment.build_wheel(home)
    outcomes = []
    async with running_worker(servers, home / "images"):
        for number, combination in enumerate(chosen, start=1):
            outcome = await _outcome(combination, wheel, servers, home / str(number), number)
            _say(f"{combination}: {outcome.result}, {outcome.seconds:.0f} s")
            outcomes.append(outcome)
    return outcomes


async def _outcome(
    combination: Combination, wheel: Path, servers: Servers, home: Path, number: int
) -> Outcome:
    began = time.monotonic()
    versions: Mapping[str, str] = {}
    try:
        python = environment.find_python(combination.python)
        if python is None:
            versions = await environment.resolve(
                combination.python, wheel, combination.requirements
            )
            result = "wheels found"
        else:
            there = await environment.install(python, wheel, combination.requirements, home)
            versions = await _travelled(there, combination, servers, number)
            result = "works"
    except CommandFailed as error:
        _say(str(error))
        result = "fails"
    seconds = time.monotonic() - began
    return Outcome(combination=combination, versions=versions, result=result, seconds=seconds)


async def _travelled(
    python: Path, combination: Combination, servers: Servers, number: int
) -> Mapping[str, str]:
    """Run the journey in an environment; return the versions that are installed there."""
    said = await environment.run(
        [str(python), str(_JOURNEY), str(number * 10), *combination.imports],
        DATABASE_URL=servers.database_url,
        REDIS_URL=servers.redis_url,
        IMAGE_TRIGGER_MIN="3",
        IMAGE_TRIGGER_MAX="3",
        IMAGES_PER_USER_PER_DAY="",
    )
    versions: Mapping[str, str] = json.loads(said)
    return versions


def table(outcomes: Iterable[Outcome]) -> str:
    """Return the table in Markdown."""
    rows = [_HEAD, tuple("---" for _ in _HEAD), *(_cells(each) for each in outcomes)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(outcome: Outcome) -> tuple[str, ...]:
    versions = outcome.versions
    return (
        outcome.combination.name,
        versions.get("python", outcome.combination.python),
        ", ".join(f"{name} {versions[name]}" for name in _SHOWN if name in versions),
        outcome.result,
        f"{outcome.seconds:.0f}",
    )


def _drop(*_: object) -> str:
    raise structlog.DropEvent


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
