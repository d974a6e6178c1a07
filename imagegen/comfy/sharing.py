"""What a pool asks of those who share its hosts with other workers."""

from typing import Protocol


class SharedSlot(Protocol):
    """A slot that other workers see as taken."""

    def release(self) -> None:
        """Give it back at once, without waiting for anything."""


class SharedSlots(Protocol):
    """The slots of all hosts, over all workers."""

    async def take(self, host: str, slots: int) -> SharedSlot | None:
        """Take one of the host's `slots`; None: other workers hold them all now."""


class Alone:
    """Nobody else is there: every slot may be taken."""

    async def take(self, host: str, slots: int) -> SharedSlot | None:  # noqa: ARG002 (the protocol)
        """Take a slot that nobody counts."""
        return _Uncounted()


class _Uncounted:
    def release(self) -> None:
        pass
