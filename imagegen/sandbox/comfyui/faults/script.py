"""A host's script of faults: which is due at an occasion, and which have happened."""

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
    """A fault that happened: when (as time.time() counts), and the prompt if it is known."""

    fault: Fault
    when: float
    prompt_id: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"fault": str(self.fault), "when": self.when, "prompt_id": self.prompt_id}


@dataclass(kw_only=True)
class ScriptedFault:
    """One fault of the script, with how many occasions passed and how often it happened."""

    fault: Fault
    passed: int = 0
    happened: int = 0
    # A fault with a duration applies until this time of the clock, even if `times` is used up.
    until: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.fault.times is not None and self.happened >= self.fault.times


class FaultScript:
    """The faults that wait for their occasions; the first one that matches an occasion happens.

    `random` is repeatable if a `seed` is given; `clock` counts seconds.
    """

    def __init__(
        self, *, seed: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.troubles: list[FaultEvent] = []
        self.random = random.Random(seed)  # noqa: S311 repeatable, no secret
        self._entries: list[ScriptedFault] = []
        self._clock = clock
        self._changed = asyncio.Event()

    @property
    def waiting(self) -> list[Fault]:
        """The faults that can still happen."""
        return [entry.fault for entry in self._entries if not entry.is_over]

    def add(self, faults: Iterable[Fault]) -> None:
        self._entries += [ScriptedFault(fault=fault) for fault in faults]

    def clear(self) -> None:
        """Remove the faults that can still happen; the record of past ones is kept."""
        self._entries.clear()

    def expects(self, *kinds: FaultKind) -> bool:
        """Tell whether a fault of these kinds can still happen."""
        now = self._clock()
        return any(
            entry.fault.kind in kinds and (not entry.is_over or now < entry.until)
            for entry in self._entries
        )

    def take(
        self,
        kind: FaultKind,
        *,
        prompt_id: str | None = None,
        matches: Callable[[Fault], bool] = lambda _: True,
    ) -> Fault | None:
        """Take the first fault of this kind that matches and is due; None if there is none."""
        for entry in self._entries:
            if entry.fault.kind is kind and entry.fault.every is None and matches(entry.fault):
                if self._clock() < entry.until:
                    return entry.fault
                if self._is_due(entry):
                    self._note(entry, prompt_id)
                    return entry.fault
        return None

    def take_exactly(self, fault: Fault) -> bool:
        """Take this one fault, which recurs by the clock; False if it is over or not due."""
        for entry in self._entries:
            if entry.fault is fault and self._is_due(entry):
                self._note(entry, None)
                return True
        return False

    def is_pending(self, fault: Fault) -> bool:
        """Tell whether this one fault can still happen."""
        return any(entry.fault is fault and not entry.is_over for entry in self._entries)

    async def happened(self, fault: Fault, *, times: int = 1) -> FaultEvent:
        """Wait until a fault has happened so often, and return the last event; no timeout."""
        while True:
            found = [each for each in self.troubles if each.fault == fault]
            if len(found) >= times:
                return found[times - 1]
            await self._changed.wait()

    def _is_due(self, entry: ScriptedFault) -> bool:
        if entry.is_over:
            return False
        if entry.passed < entry.fault.after:
            entry.passed += 1
            return False
        return entry.fault.chance == 1 or self.random.random() < entry.fault.chance

    def _note(self, entry: ScriptedFault, prompt_id: str | None) -> None:
        fault = entry.fault
        entry.happened += 1
        if fault.kind is FaultKind.UNAVAILABLE and fault.seconds is not None:
            entry.until = self._clock() + fault.seconds
        self.troubles.append(FaultEvent(fault=fault, when=time.time(), prompt_id=prompt_id))
        log.info("sandbox fault", fault=str(fault), prompt_id=prompt_id)
        self._changed.set()
        self._changed = asyncio.Event()
