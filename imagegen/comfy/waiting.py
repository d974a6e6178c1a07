"""Queue: who waits for a slot, in which order."""

import asyncio
import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from imagegen.comfy.errors import NobodyCanDraw
from imagegen.comfy.member import Member
from imagegen.comfy.stock import Needs

_numbers = itertools.count()


def _place() -> "asyncio.Future[Member]":
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False, kw_only=True)
class Waiter:
    """Somebody who waits for a host that has these needs, or for just this one."""

    wants: Needs | Member
    rather_not: str | None = None
    number: int = field(default_factory=lambda: next(_numbers))
    place: "asyncio.Future[Member]" = field(default_factory=_place)

    @property
    def order(self) -> tuple[bool, int]:
        """Where it stands: whose prompt is on a host already comes first, then who asked first."""
        return (isinstance(self.wants, Needs), self.number)

    def give(self, member: Member) -> None:
        """Let it have a slot on this host."""
        self.place.set_result(member)

    def given(self) -> Member | None:
        """Say what it got, if it got anything."""
        if not self.place.done() or self.place.cancelled() or self.place.exception() is not None:
            return None
        return self.place.result()

    def send_away(self, error: NobodyCanDraw) -> None:
        """Let it wait no longer, since there is nothing to wait for."""
        self.place.set_exception(error)


class Queue:
    """Waiters in order. One that was cancelled is no longer seen, though it may not know yet."""

    def __init__(self) -> None:
        self._waiters: list[Waiter] = []

    def __len__(self) -> int:
        return len(self._waiters)

    def __iter__(self) -> Iterator[Waiter]:
        return iter([waiter for waiter in self._waiters if not waiter.place.done()])

    def add(self, waiter: Waiter) -> None:
        """Put a waiter where its number belongs, with a fresh place."""
        waiter.place = _place()
        bisect.insort(self._waiters, waiter, key=lambda each: each.order)

    def remove(self, waiter: Waiter) -> None:
        """Forget a waiter; nothing happens if it is not there."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
