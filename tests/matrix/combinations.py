"""What the hook is installed with: packages of a bot, and a version of Python."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
_CHATFLOW_PINS = Path(__file__).with_name("chatflow-pins.txt")


@dataclass(frozen=True, kw_only=True)
class Combination:
    """Packages of a bot beside the hook; `imports` are modules of it that the journey imports too.

    `is_quick`: it is one of the few that `.ci/run` runs.
    """

    name: str
    python: str
    requirements: Sequence[str]
    imports: Sequence[str] = ()
    is_quick: bool = False

    def __str__(self) -> str:
        return f"{self.name}, Python {self.python}"


def combinations() -> Sequence[Combination]:
    """Return all combinations, in the order of the table."""
    pins = _CHATFLOW_PINS.read_text(encoding="utf-8").split()
    storage = "aiogram.fsm.storage.redis"
    return (
        *(
            Combination(
                name="ChatFlow's pins",
                python=python,
                requirements=pins,
                imports=["aiogram"],
                is_quick=python == "3.11",
            )
            for python in ("3.11", "3.12")
        ),
        *(
            Combination(
                name="the lowest versions",
                python=python,
                requirements=lowest_versions(python),
                is_quick=python == "3.12",
            )
            for python in ("3.11", "3.12", "3.13")
        ),
        Combination(
            name="aiogram 3.4",
            python="3.11",
            requirements=["aiogram[redis]==3.4.*"],
            imports=[storage],
        ),
        Combination(
            name="aiogram 3.15",
            python="3.12",
            requirements=["aiogram[redis]==3.15.*"],
            imports=[storage],
        ),
        Combination(
            name="the newest aiogram",
            python="3.13",
            requirements=["aiogram[redis]"],
            imports=[storage],
            is_quick=True,
        ),
        Combination(
            name="the newest python-telegram-bot",
            python="3.13",
            requirements=["python-telegram-bot"],
            imports=["telegram.ext"],
        ),
        Combination(
            name="the newest FastAPI",
            python="3.13",
            requirements=["fastapi"],
            imports=["fastapi"],
        ),
        Combination(
            name="the newest of all three",
            python="3.14",
            requirements=["aiogram[redis]", "python-telegram-bot", "fastapi"],
            imports=[storage, "telegram.ext", "fastapi"],
        ),
    )


def lowest_versions(python: str) -> Sequence[str]:
    """Return the direct dependencies of the hook, each pinned to its floor for a Python version.

    `python` is such as "3.12".
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [Requirement(text) for text in project["dependencies"]]
    return [
        _pinned(each)
        for each in needed
        if each.marker is None or each.marker.evaluate({"python_version": python})
    ]


def _pinned(requirement: Requirement) -> str:
    (floor,) = requirement.specifier
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}=={floor.version}"
