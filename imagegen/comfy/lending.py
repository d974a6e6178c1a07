"""Lease: a slot on a host, for as long as the host works for whoever holds it."""

from collections.abc import Mapping
from typing import Any

from imagegen.comfy.client import HostClient
from imagegen.comfy.line import Turn
from imagegen.comfy.member import Member
from imagegen.comfy.stock import Needs


class Lease:
    """What a caller gets: the host, and a way to tell what it was like."""

    def __init__(self, member: Member, needs: Needs | None, turn: Turn) -> None:
        self._member = member
        self._needs = needs
        self._turn = turn

    @property
    def host(self) -> HostClient:
        """The host to draw on."""
        return self._member.client

    def drew(self, seconds: float) -> None:
        """Tell how long the host really drew, without the wait in its queue."""
        if self._needs is not None:
            self._member.estimate.note(
                self._needs.model_set, seconds, is_change=self._turn.is_change
            )

    def spelled(self, graph: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give the graph with file names as this host spells them; Windows hosts do it with backslashes."""
        stock = self._member.stock
        return graph if stock is None else stock.spelled(graph)
