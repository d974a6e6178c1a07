"""How far each node of a running prompt is, as in progress_state frames."""

from typing import Any


class NodeProgressState:
    """The table of one prompt's nodes, which grows as they start."""

    def __init__(self, prompt_id: str) -> None:
        self.prompt_id = prompt_id
        self._nodes: dict[str, dict[str, Any]] = {}

    def start(self, node: str) -> None:
        self._set(node, value=0.0, maximum=1.0, state="running")

    def step(self, node: str, value: int, maximum: int) -> None:
        self._set(node, value=value, maximum=maximum, state="running")

    def finish(self, node: str) -> None:
        # Whole numbers (1, not 1.0) show a node that was cached and never started, as on real servers.
        maximum = self._nodes[node]["max"] if node in self._nodes else 1
        self._set(node, value=maximum, maximum=maximum, state="finished")

    def frame(self) -> dict[str, Any]:
        """Return the data of a progress_state frame."""
        return {
            "prompt_id": self.prompt_id,
            "nodes": {node: dict(entry) for node, entry in self._nodes.items()},
        }

    def _set(self, node: str, *, value: float, maximum: float, state: str) -> None:
        self._nodes[node] = {
            "value": value,
            "max": maximum,
            "state": state,
            "node_id": node,
            "prompt_id": self.prompt_id,
            "display_node_id": node,
            "parent_node_id": None,
            "real_node_id": node,
        }
