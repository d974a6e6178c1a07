"""Lease: a slot on a host, for as long as the host works for whoever holds it."""

from imagegen.comfy.client import HostClient
from imagegen.comfy.member import Member
from imagegen.comfy.stock import Needs


class Lease:
    """What a caller gets: the host, and a way to tell what it was like."""

    def __init__(self, member: Member, needs: Needs | None) -> None:
        self._member = member
        self._needs = needs

    @property
    def host(self) -> HostClient:
        """The host to draw on."""
        return self._member.client

    def drew(self, seconds: float) -> None:
        """Tell how long the host really drew, without the wait in its queue."""
        if self._needs is not None:
            self._member.estimate.note(self._needs.model_set, seconds)
