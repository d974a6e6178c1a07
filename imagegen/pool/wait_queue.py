"""WaitQueue: who waits for a slot; asked-for pictures first, users take turns, in order of arrival."""

import asyncio
import bisect
import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from imagegen.comfy.capabilities import Requirements
from imagegen.comfy.errors import NobodyCanDraw
from imagegen.pool.host import PooledHost
from imagegen.pool.host_queue import QueuedPrompt

# Who was served so many users ago may be served among the first again.
_MAX_USERS = 1000

_numbers = itertools.count()


class SlotGrant(NamedTuple):
    """A slot on a host, and the prompt in the host's queue that it stands for."""

    host: PooledHost
    prompt: QueuedPrompt


def _new_future() -> "asyncio.Future[SlotGrant]":
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False, kw_only=True)
class Waiter:
    """A caller who waits for a host with the requirements.

    `avoid_host` is taken only if no other host is left, and `prefer_host` whenever it is free.
    `left_on` is the host on which a prompt of the caller was left, None if there is none: there the
    slot is for that prompt. `user` is whose request it is, None if unknown. `is_asked`: a person
    asked for the picture, and waits for it. `request_id` is by what the waiter is found. `since` is
    when the wait began, and `asked_at` when the request was made, in seconds on the pool's clock.
    `round` is set by the queue when the waiter is added. `kind`: for waiters of one kind the same
    host is chosen. `slot` gets the granted slot or an error.
    """

    requirements: Requirements
    avoid_host: str | None = None
    prefer_host: str | None = None
    left_on: PooledHost | None = None
    user: int | None = None
    is_asked: bool = False
    request_id: UUID | None = None
    since: float = 0.0
    asked_at: float = 0.0
    round: int | None = None
    number: int = field(default_factory=lambda: next(_numbers))
    kind: tuple[object, ...] = field(init=False)
    slot: "asyncio.Future[SlotGrant]" = field(default_factory=_new_future)

    def __post_init__(self) -> None:
        """Set the kind, by which waiters are found."""
        self.kind = (self.requirements, self.avoid_host, self.prefer_host, self.left_on)

    @property
    def order(self) -> tuple[bool, bool, int, int]:
        """The sort key: prompts that are on a host already, asked-for ones, by round, by arrival."""
        return (self.left_on is None, not self.is_asked, self.round or 0, self.number)

    def requirements_on(self, host: PooledHost) -> Requirements | None:
        """Return what a new prompt on this host requires, None for the prompt that is left there."""
        return None if host is self.left_on else self.requirements

    def grant(self, grant: SlotGrant) -> None:
        """Give the waiter a slot."""
        self.slot.set_result(grant)

    def granted(self) -> SlotGrant | None:
        """Return the granted slot, None if there is none."""
        if not self.slot.done() or self.slot.cancelled() or self.slot.exception() is not None:
            return None
        return self.slot.result()

    def reject(self, error: NobodyCanDraw) -> None:
        """End the wait with an error."""
        self.slot.set_exception(error)


class WaitQueue:
    """The waiters, in the order in which they are served.

    Pictures that people asked for come before all others; among each of both, users take turns.
    Each user has at most one waiter in a round, so a user with fifty requests does not delay a
    user with one by fifty. A new waiter joins the round that is being served, if its user has none
    in it. A waiter whose future is done, also by a cancellation, is no longer iterated over.
    """

    def __init__(self) -> None:
        self._waiters: list[Waiter] = []
        # The same waiters by their kind, each list in the order of the queue.
        self._by_kind: dict[tuple[object, ...], list[Waiter]] = {}
        self._round = 0
        # By user: the round of the user's last waiter, unless that round is over; the users of the
        # latest waiters last.
        self._last_rounds: dict[int, int] = {}

    @property
    def remembered(self) -> int:
        """How many users are remembered."""
        return len(self._last_rounds)

    def __len__(self) -> int:
        return len(self._waiters)

    def __iter__(self) -> Iterator[Waiter]:
        return iter([waiter for waiter in self._waiters if not waiter.slot.done()])

    def heads(self) -> "Heads":
        """Return the first waiter of each kind."""
        firsts = [_first(waiters) for waiters in self._by_kind.values()]
        return Heads(waiter for waiter in firsts if waiter is not None)

    def first_like(self, waiter: Waiter) -> Waiter | None:
        """Return the first waiter of the same kind that still waits; None if there is none."""
        return _first(self._by_kind.get(waiter.kind, ()))

    def counts(self) -> list[tuple[Waiter, int]]:
        """Return one waiter of each kind, and how many there are of it."""
        return [(waiters[0], len(waiters)) for waiters in self._by_kind.values()]

    def add(self, waiter: Waiter) -> None:
        """Add a waiter with a fresh future; one that was in the queue before keeps its position."""
        waiter.slot = _new_future()
        if waiter.round is None:
            waiter.round = self._next_round(waiter.user)
        for waiters in (self._waiters, self._by_kind.setdefault(waiter.kind, [])):
            bisect.insort(waiters, waiter, key=lambda each: each.order)

    def served(self, waiter: Waiter) -> None:
        """Remove a waiter that has got its slot; its round becomes the present one."""
        if waiter.round is not None and waiter.round > self._round:
            self._round = waiter.round
            self._last_rounds = {
                user: last for user, last in self._last_rounds.items() if last >= self._round
            }
        self.remove(waiter)

    def remove(self, waiter: Waiter) -> None:
        """Remove a waiter; nothing happens if it is not in the queue."""
        if waiter in self._by_kind.get(waiter.kind, ()):
            self._waiters.remove(waiter)
            self._by_kind[waiter.kind].remove(waiter)
            if not self._by_kind[waiter.kind]:
                del self._by_kind[waiter.kind]

    def _next_round(self, user: int | None) -> int:
        if user is None:
            return self._round
        next_round = max(self._round, self._last_rounds.pop(user, -1) + 1)
        self._last_rounds[user] = next_round
        # As long as no user has two waiters, a round is never over.
        if len(self._last_rounds) > _MAX_USERS:
            del self._last_rounds[next(iter(self._last_rounds))]
        return next_round


class Heads:
    """Waiters of different kinds, to be taken in the order of the queue."""

    def __init__(self, waiters: Iterable[Waiter]) -> None:
        self._heap = [(waiter.order, waiter) for waiter in waiters]
        heapq.heapify(self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def pop(self) -> Waiter:
        """Take out the waiter that is served next."""
        return heapq.heappop(self._heap)[1]

    def push(self, *waiters: Waiter) -> None:
        """Put waiters in."""
        for waiter in waiters:
            heapq.heappush(self._heap, (waiter.order, waiter))


def _first(waiters: Iterable[Waiter]) -> Waiter | None:
    return next((waiter for waiter in waiters if not waiter.slot.done()), None)
