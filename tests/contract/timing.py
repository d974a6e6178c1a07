"""How much work keeps a host busy for about a second: measured once per session."""

import math
import time
from dataclasses import dataclass

from tests.contract.client import ContractClient
from tests.contract.graphs import Graph, slow
from tests.contract.websocket_listener import EventListener

# Long enough for a dozen answers over loopback; the answer times of a real network are added.
_SECONDS = 1.0
_ANSWERS = 20
# Each progress_state frame lists all nodes so far: hundreds of nodes would flood the network.
_MAX_UNITS = 60
_SIDE, _MAX_SIDE = 2048, 4096
_PROBE_UNITS = 4


@dataclass
class SlowGraphs:
    """Builds graphs that take one server about as long as a test needs."""

    units: int = 0
    side: int = _SIDE

    async def slow(self, contract_client: ContractClient, listener: EventListener) -> Graph:
        """Return a graph that still runs when a test looks; the first call measures the host."""
        if not self.units:
            await self._measure(contract_client, listener)
        return slow(self.units, self.side)

    async def _measure(self, contract_client: ContractClient, listener: EventListener) -> None:
        asked_at = time.monotonic()
        await contract_client.get("/prompt")
        answer_s = time.monotonic() - asked_at
        prompt_id = await contract_client.post(slow(_PROBE_UNITS, _SIDE))
        await listener.wait_for("execution_start", prompt_id)
        began_at = time.monotonic()
        await listener.wait_for("execution_success", prompt_id)
        unit_s = (time.monotonic() - began_at) / _PROBE_UNITS
        self._set_size(math.ceil((_SECONDS + _ANSWERS * answer_s) / unit_s))

    def _set_size(self, units: int) -> None:
        if units > _MAX_UNITS:
            self.side = _MAX_SIDE
            units = math.ceil(units * (_SIDE / _MAX_SIDE) ** 2)
        self.units = min(max(units, _PROBE_UNITS), _MAX_UNITS)
