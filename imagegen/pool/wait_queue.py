"""Queue: who waits for a slot, in which order: by turns among users, then first come first served."""

import asyncio
import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from imagegen.comfy.capabilities import Requirements
from imagegen.comfy.errors import NobodyCanDraw
from imagegen.pool.host import PooledHost, QueuedPrompt

_numbers = itertools.count()


class SlotGrant(NamedTuple):
    """A slot on a host, and which turn of its line that is."""

    member: PooledHost
    turn: QueuedPrompt


def _place() -> "asyncio.Future[SlotGrant]":
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False, kw_only=True)
class Waiter:
    """Somebody who waits for a host that has these needs, or for just this one.

    `user` is whose picture it is; the queue says in which of their rounds it comes.
    """

    wants: Requirements | PooledHost
    rather_not: str | None = None
    user: int | None = None
    round: int | None = None
    number: int = field(default_factory=lambda: next(_numbers))
    place: "asyncio.Future[SlotGrant]" = field(default_factory=_place)

    @property
    def order(self) -> tuple[bool, int, int]:
        """Where it stands: whose prompt is on a host already, then the rounds, then who asked first."""
        return (isinstance(self.wants, Requirements), self.round or 0, self.number)

    def grant(self, loan: SlotGrant) -> None:
        """Let it have this slot."""
        self.place.set_result(loan)

    def granted(self) -> SlotGrant | None:
        """Say what it got, if it got anything."""
        if not self.place.done() or self.place.cancelled() or self.place.exception() is not None:
            return None
        return self.place.result()

    def reject(self, error: NobodyCanDraw) -> None:
        """Let it wait no longer, since there is nothing to wait for."""
        self.place.set_exception(error)


class WaitQueue:
    """Waiters in order. One that was cancelled is no longer seen, though it may not know yet.

    Each user has one waiter in a round, so that somebody with fifty is not fifty times before
    somebody with one. Who comes joins the round that is being served.
    """

    def __init__(self) -> None:
        self._waiters: list[Waiter] = []
        self._round = 0
        # In which round the last waiter of a user stands, as long as that is yet to come.
        self._last: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._waiters)

    def __iter__(self) -> Iterator[Waiter]:
        return iter([waiter for waiter in self._waiters if not waiter.place.done()])

    def add(self, waiter: Waiter) -> None:
        """Put a waiter where its round and number belong, with a fresh place."""
        waiter.place = _place()
        if waiter.round is None:
            waiter.round = self._next_round(waiter.user)
        bisect.insort(self._waiters, waiter, key=lambda each: each.order)

    def served(self, waiter: Waiter) -> None:
        """Take out a waiter that has got its slot; its round is the present one."""
        if waiter.round is not None and waiter.round > self._round:
            self._round = waiter.round
            self._last = {user: last for user, last in self._last.items() if last >= self._round}
        self.remove(waiter)

    def remove(self, waiter: Waiter) -> None:
        """Forget a waiter; nothing happens if it is not there."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def _next_round(self, user: int | None) -> int:
        if user is None:
            return self._round
        mine = max(self._round, self._last.get(user, -1) + 1)
        self._last[user] = mine
        return mine
