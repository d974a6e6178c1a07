"""A fault of a host, as tests script it and as people write it on a command line."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from imagegen.sandbox.comfyui.faults.kinds import MEANINGS, FaultKind
from imagegen.sandbox.errors import SandboxError

MIB = 2**20
# Values of `at` that are not the type of a text frame.
OVER, PREVIEW, ACCEPTED, CONNECT, RECONNECT = "over", "preview", "accepted", "connect", "reconnect"
EVENTS = (
    *("status", "execution_start", "execution_cached", "progress_state", "executing", "progress"),
    *("executed", "execution_success", "execution_error", "execution_interrupted"),
    *(OVER, PREVIEW),
)
_VARIANTS: Mapping[FaultKind, tuple[str, ...]] = {
    FaultKind.BROKEN_VIEW: ("cut", "garbage", "page"),
    FaultKind.HUGE_FRAME: ("text", "binary"),
}
_COMMON_PARAMETERS = frozenset({"kind", "times", "after", "chance"})


class FaultError(SandboxError, ValueError):
    """A fault that does not exist or has bad parameters; the message is one sentence."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong on a host.

    Args:
        kind: what goes wrong; a plain word is accepted.
        times: how often it happens; None means for ever.
        after: how many occasions pass before it happens.
        chance: the probability at each occasion, above 0 and at most 1.
        at: the event that it happens at: a frame's type, `over` (executing with node null),
            `preview` (a binary frame) or `accepted` (a prompt was accepted). None means any event
            of a prompt.
        sent: whether the frame of that event is sent before the fault happens.
        seconds: how long it lasts; None means what is usual for its kind.
        every: it happens about every so many seconds, instead of at an event.
        route: a route such as `/history` or `GET /history`; None means any (for `answer-lost`:
            POST /prompt).
        file: a file name.
        node: a node class.
        how: a variant of the fault.
        size: a number of bytes.

    Raises:
        FaultError: the kind does not take one of these parameters, or a value is out of range.
    """

    kind: FaultKind
    times: int | None = 1
    after: int = 0
    chance: float = 1.0
    at: str | None = None
    sent: bool = False
    seconds: float | None = None
    every: float | None = None
    route: str | None = None
    file: str | None = None
    node: str | None = None
    how: str | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", _kind(self.kind))
        for each in fields(self):
            is_given = getattr(self, each.name) != each.default
            if is_given and each.name not in _COMMON_PARAMETERS | MEANINGS[self.kind].takes:
                raise FaultError(f"{self.kind} takes no {each.name}: {_parameters_of(self.kind)}")
        self._check_numbers()
        self._check_words()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `KIND` or `KIND:name=value,name=value`.

        Raises:
            FaultError: the text is not a fault; the message says what is wrong.
        """
        kind, _, rest = text.strip().partition(":")
        values: dict[str, Any] = {"kind": _kind(kind.strip())}
        for part in filter(None, map(str.strip, rest.split(","))):
            name, has_value, value = (piece.strip() for piece in part.partition("="))
            if name not in _READERS or not has_value:
                raise FaultError(
                    f"{kind}: {part!r} is no parameter: {_parameters_of(values['kind'])}"
                )
            if name in values:
                raise FaultError(f"{kind}: {name} is given twice")
            values[name] = _read(kind, name, value)
        return cls(**values)

    def __str__(self) -> str:
        """Write it in the form that `parse` reads."""
        parameters = [
            f"{each.name}={_as_text(getattr(self, each.name))}"
            for each in fields(self)
            if each.name != "kind" and getattr(self, each.name) != each.default
        ]
        return f"{self.kind}:{','.join(parameters)}" if parameters else str(self.kind)

    @property
    def lasts_s(self) -> float | None:
        """How many seconds it lasts; None means until something ends it."""
        return MEANINGS[self.kind].seconds if self.seconds is None else self.seconds

    def _check_numbers(self) -> None:
        numbers = (
            ("seconds", self.seconds, 0),
            ("every", self.every, 0.01),
            ("size", self.size, 1),
        )
        for name, value, least in (("after", self.after, 0), ("times", self.times, 1), *numbers):
            if value is not None and not (math.isfinite(value) and value >= least):
                raise FaultError(f"{self.kind}: {name} must be {least} or more, not {value}")
        if not 0 < self.chance <= 1:
            raise FaultError(f"{self.kind}: chance must be above 0 and at most 1")

    def _check_words(self) -> None:
        events = {*EVENTS, *_EXTRA_EVENTS.get(self.kind, ())}
        variants = _VARIANTS.get(self.kind, ())
        if self.at is not None and self.at not in events:
            raise FaultError(f"{self.kind}: at must be one of {', '.join(sorted(events))}")
        if self.how is not None and self.how not in variants:
            raise FaultError(f"{self.kind}: how must be one of {', '.join(variants)}")
        if self.every is not None and self.at is not None:
            raise FaultError(f"{self.kind}: at and every exclude each other")


_EXTRA_EVENTS: Mapping[FaultKind, tuple[str, ...]] = {
    FaultKind.DEAF: (CONNECT, RECONNECT),
    FaultKind.RESTART: (ACCEPTED,),
    FaultKind.FREEZE: (ACCEPTED,),
}


def _kind(name: str) -> FaultKind:
    try:
        return FaultKind(name)
    except ValueError:
        raise FaultError(f"there is no fault {name!r}; there are {', '.join(FaultKind)}") from None


def _parameters_of(kind: FaultKind) -> str:
    names = sorted({"times", "after", "chance"} | MEANINGS[kind].takes)
    return f"it takes {', '.join(names)}"


def _times(text: str) -> int | None:
    return None if text == "ever" else int(text)


def _as_bool(text: str) -> bool:
    return {"yes": True, "no": False}[text]


_READERS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "times": (_times, "a whole number or ever"),
    "after": (int, "a whole number"),
    "chance": (float, "a number such as 0.1"),
    "at": (str, "an event"),
    "sent": (_as_bool, "yes or no"),
    "seconds": (float, "a number of seconds"),
    "every": (float, "a number of seconds"),
    "route": (str, "a route such as /history"),
    "file": (str, "a file name"),
    "node": (str, "a node class"),
    "how": (str, "a word"),
    "size": (int, "a number of bytes"),
}


def _read(kind: str, name: str, value: str) -> Any:
    reader, wanted = _READERS[name]
    try:
        return reader(value)
    except (ValueError, KeyError):
        raise FaultError(f"{kind}: {name} must be {wanted}, not {value!r}") from None


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "ever" if value is None else str(value)
