"""Reads Dockerfile and compose.yaml as far as tests need: instructions, stages, variables."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?:(?P<how>:[-+?])(?P<word>[^}]*))?\})")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One FROM of the Dockerfile with its instructions, in order, as name and text."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def texts(self, instruction: str) -> list[str]:
        return [text for name, text in self.instructions if name == instruction]


def stages() -> list[Stage]:
    """Return the stages of the Dockerfile; the last one is the image."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "Dockerfile").read_text())
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(name=name, base=base))
        elif instruction and found:
            found[-1].instructions.append((instruction, rest.strip()))
    return found


def health_check() -> list[str]:
    """Return the command of HEALTHCHECK."""
    (text,) = stages()[-1].texts("HEALTHCHECK")
    command: list[str] = json.loads(text.partition("CMD ")[2])
    return command


def services(**variables: str) -> Mapping[str, dict[str, Any]]:
    """Return the services of compose.yaml with these variables put in.

    Raises:
        KeyError: a variable that compose.yaml demands is missing.
    """
    found: Mapping[str, dict[str, Any]] = _filled(
        yaml.safe_load((ROOT / "compose.yaml").read_text())["services"], variables
    )
    return found


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _VARIABLE.sub(lambda match: _value(match, variables), value)
        case dict():
            return {key: _filled(each, variables) for key, each in value.items()}
        case list():
            return [_filled(each, variables) for each in value]
    return value


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name, how, word = match["name"], match["how"], match["word"]
    if name is None:
        return "$"
    match how:
        case ":?":
            return variables[name]
        case ":-":
            return variables.get(name) or word
        case ":+":
            return word if variables.get(name) else ""
    return variables.get(name, "")


def documents(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the YAML documents of a file."""
    yield from yaml.safe_load_all(path.read_text())
