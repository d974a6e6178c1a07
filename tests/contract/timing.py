"""How much work keeps a host busy for a while: measured once, then known."""

import math
import time
from dataclasses import dataclass

from tests.contract.client import Visitor
from tests.contract.graphs import Graph, slow
from tests.contract.websocket_listener import Ear

# Long enough for a dozen answers of a loopback; a wire gets the time of its answers on top.
_SECONDS = 1.0
_ANSWERS = 20
# Every frame tells of all nodes so far, so a graph of hundreds would flood the wire.
_MOST_UNITS = 60
_SIDE, _BIGGEST_SIDE = 2048, 4096
_PROBE_UNITS = 4


@dataclass
class Pace:
    """Builds graphs that take one server about as long as a test needs."""

    units: int = 0
    side: int = _SIDE

    async def slow(self, visitor: Visitor, ear: Ear) -> Graph:
        """Give a graph that is still drawn when a test looks; the first call takes a measure."""
        if not self.units:
            await self._measure(visitor, ear)
        return slow(self.units, self.side)

    async def _measure(self, visitor: Visitor, ear: Ear) -> None:
        asked_at = time.monotonic()
        await visitor.get("/prompt")
        answer_s = time.monotonic() - asked_at
        prompt_id = await visitor.post(slow(_PROBE_UNITS, _SIDE))
        await ear.hear("execution_start", prompt_id)
        began_at = time.monotonic()
        await ear.hear("execution_success", prompt_id)
        unit_s = (time.monotonic() - began_at) / _PROBE_UNITS
        self._settle(math.ceil((_SECONDS + _ANSWERS * answer_s) / unit_s))

    def _settle(self, units: int) -> None:
        if units > _MOST_UNITS:
            self.side = _BIGGEST_SIDE
            units = math.ceil(units * (_SIDE / _BIGGEST_SIDE) ** 2)
        self.units = min(max(units, _PROBE_UNITS), _MOST_UNITS)
