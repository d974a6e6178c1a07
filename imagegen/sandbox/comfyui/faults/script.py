"""The script of a host's faults: which is due at an occasion, and which have happened."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from imagegen.sandbox.comfyui.faults.fault import Fault
from imagegen.sandbox.comfyui.faults.kinds import FaultKind

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class FaultEvent:
    """A fault that befell the host, when (as time.time() counts), and a prompt if known."""

    fault: Fault
    when: float
    prompt_id: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"fault": str(self.fault), "when": self.when, "prompt_id": self.prompt_id}


@dataclass(kw_only=True)
class ScriptedFault:
    """One fault of the script, and what is left of it."""

    fault: Fault
    passed: int = 0
    happened: int = 0
    # A fault that lasts goes on until then, whatever is left of it.
    until: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.fault.times is not None and self.happened >= self.fault.times


class FaultScript:
    """Faults wait here for their occasions; the first that is for an occasion takes it."""

    def __init__(
        self, *, seed: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.troubles: list[FaultEvent] = []
        self.chance = random.Random(seed)  # noqa: S311 repeatable, no secret
        self._lines: list[ScriptedFault] = []
        self._clock = clock
        self._changed = asyncio.Event()

    @property
    def waiting(self) -> list[Fault]:
        """The faults that can still happen."""
        return [line.fault for line in self._lines if not line.is_over]

    def add(self, faults: Iterable[Fault]) -> None:
        self._lines += [ScriptedFault(fault=fault) for fault in faults]

    def clear(self) -> None:
        """Forget the faults to come; what happened is kept."""
        self._lines.clear()

    def awaits(self, *kinds: FaultKind) -> bool:
        """Tell whether a fault of these kinds can still happen."""
        now = self._clock()
        return any(
            line.fault.kind in kinds and (not line.is_over or now < line.until)
            for line in self._lines
        )

    def take(
        self,
        kind: FaultKind,
        *,
        prompt_id: str | None = None,
        suits: Callable[[Fault], bool] = lambda _: True,
    ) -> Fault | None:
        """Take the first fault of a kind that suits this occasion and is due."""
        for line in self._lines:
            if line.fault.kind is kind and line.fault.every is None and suits(line.fault):
                if self._clock() < line.until:
                    return line.fault
                if self._is_due(line):
                    self._note(line, prompt_id)
                    return line.fault
        return None

    def take_itself(self, fault: Fault) -> bool:
        """Take this very fault, as those are that come by the clock; False when it is over."""
        for line in self._lines:
            if line.fault is fault and self._is_due(line):
                self._note(line, None)
                return True
        return False

    def holds(self, fault: Fault) -> bool:
        """Tell whether this very fault can still happen."""
        return any(line.fault is fault and not line.is_over for line in self._lines)

    async def happened(self, fault: Fault, *, times: int = 1) -> FaultEvent:
        """Wait until a fault has happened so often, and give the last; the caller sets a limit."""
        while True:
            found = [each for each in self.troubles if each.fault == fault]
            if len(found) >= times:
                return found[times - 1]
            await self._changed.wait()

    def _is_due(self, line: ScriptedFault) -> bool:
        if line.is_over:
            return False
        if line.passed < line.fault.after:
            line.passed += 1
            return False
        return line.fault.chance == 1 or self.chance.random() < line.fault.chance

    def _note(self, line: ScriptedFault, prompt_id: str | None) -> None:
        fault = line.fault
        line.happened += 1
        if fault.kind is FaultKind.UNAVAILABLE and fault.seconds is not None:
            line.until = self._clock() + fault.seconds
        self.troubles.append(FaultEvent(fault=fault, when=time.time(), prompt_id=prompt_id))
        log.info("sandbox fault", fault=str(fault), prompt_id=prompt_id)
        self._changed.set()
        self._changed = asyncio.Event()
