"""One host as its pool knows it: its queue, its slots, what it can draw."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagegen.comfy.capabilities import HostCapabilities, Missing, Requirements
from imagegen.comfy.client import HostClient
from imagegen.pool.health import Condition, Health
from imagegen.pool.placement import Candidate, Estimate


@dataclass(eq=False, frozen=True, kw_only=True)
class QueuedPrompt:
    """One prompt in the line: `is_change` if other models stand before it, `seconds` if known."""

    is_change: bool
    seconds: float | None


class HostQueue:
    """Who joined first is drawn now."""

    def __init__(self) -> None:
        self._turns: list[QueuedPrompt] = []
        self._began_at = 0.0

    def __len__(self) -> int:
        return len(self._turns)

    def join(self, turn: QueuedPrompt, *, now: float) -> None:
        """Stand at the end of the line."""
        if not self._turns:
            self._began_at = now
        self._turns.append(turn)

    def leave(self, turn: QueuedPrompt, *, now: float) -> None:
        """Go; if it was the first, the next one is drawn from now on."""
        if self._turns[0] is turn:
            self._began_at = now
        self._turns.remove(turn)

    def remaining_s(self, now: float) -> float:
        """Estimate when all of it is drawn; endless if nobody knows how long one of them takes."""
        seconds = [float("inf") if turn.seconds is None else turn.seconds for turn in self._turns]
        if not seconds:
            return 0.0
        # What is late will be later still: so nobody waits for ever for what is almost done.
        first_s = abs(seconds[0] - (now - self._began_at))
        return first_s + sum(seconds[1:])


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """How a host stands now.

    `waiting` are the callers it could draw for, `model_set` is what it drew last, `seconds` what
    a drawing takes on it lately, and `why` what is held against it while it is not up.
    """

    name: str
    condition: Condition
    slots: int
    taken: int
    waiting: int
    model_set: str | None
    seconds: float | None
    is_stock_known: bool
    why: str | None


# A host that refused what its stock says it has is believed for so long, and then tried again.
_REFUSED_FOR_S = 300.0


@dataclass(frozen=True, kw_only=True)
class _Refusal:
    lack: Missing
    at: float


@dataclass(eq=False, kw_only=True)
class PooledHost:
    """What is lent, what was last drawn, how the host is and what it has."""

    client: HostClient
    slots: int
    model_set: str | None = None
    health: Health = field(default_factory=Health)
    why: str | None = None
    # Other workers hold its slots until then, as far as we know.
    full_until: float = 0.0
    estimate: Estimate = field(default_factory=Estimate)
    line: HostQueue = field(default_factory=HostQueue)
    # Set when somebody should have a look at the host now.
    asked_for: asyncio.Event = field(default_factory=asyncio.Event)
    _stock: HostCapabilities | None = None
    _known: dict[Requirements, tuple[Missing, ...]] = field(default_factory=dict)
    _refusals: dict[Requirements, _Refusal] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What logs and people call the host."""
        return self.client.name

    @property
    def capabilities(self) -> HostCapabilities | None:
        """What the host has, None as long as nobody knows."""
        return self._stock

    @property
    def taken(self) -> int:
        """How many of its slots are lent."""
        return len(self.line)

    def lend(self, needs: Requirements | None, *, now: float) -> QueuedPrompt:
        """Lend a slot; without needs for a prompt that is on the host already."""
        model_set = needs.model_set if needs else self.model_set
        is_change = model_set != self.model_set
        seconds = self.estimate.seconds(model_set, is_change=is_change)
        turn = QueuedPrompt(is_change=is_change, seconds=seconds)
        self.model_set = model_set
        self.line.join(turn, now=now)
        return turn

    def has_slot(self, now: float) -> bool:
        """Whether a slot is left, whatever the host's health."""
        return self.taken < self.slots and now >= self.full_until

    def is_free(self, now: float) -> bool:
        """Whether a slot may be lent now to whoever wants one."""
        return self.taken < self.health.places(self.slots) and self.has_slot(now)

    def missing(self, needs: Requirements) -> tuple[Missing, ...] | None:
        """Say what the host lacks to draw this, None if that is not known."""
        if needs in self._refusals:
            return (self._refusals[needs].lack,)
        if self._stock is None:
            return None
        if needs not in self._known:
            self._known[needs] = self._stock.missing(needs)
        return self._known[needs]

    def refuse(self, needs: Requirements, lack: Missing, *, now: float) -> None:
        """Learn from the host itself that it lacks something, and ask for a look at its stock."""
        self._refusals[needs] = _Refusal(lack=lack, at=now)
        self.forget_refusals()

    def set_capabilities(self, stock: HostCapabilities, *, now: float) -> None:
        """Learn what the host has now."""
        # Lists do not say everything: what was refused a moment ago would be refused again,
        # unless something has changed.
        if stock == self._stock:
            self._refusals = {
                needs: refusal
                for needs, refusal in self._refusals.items()
                if now < refusal.at + _REFUSED_FOR_S
            }
        else:
            self._refusals = {}
        self._stock = stock
        self._known = {}

    def forget_refusals(self) -> None:
        """Ask for a look at the host: its stock may be another than we think."""
        self.asked_for.set()

    def candidate(self, needs: Requirements, now: float, *, change_s: float) -> Candidate:
        """Say what speaks for drawing this here; `change_s` is what loading costs elsewhere."""
        known_s = self.estimate.change_s
        return Candidate(
            name=self.name,
            is_up=self.health.is_up,
            is_free=self.is_free(now),
            taken=self.taken,
            left_s=self.line.remaining_s(now),
            has_models=self.model_set == needs.model_set,
            change_s=change_s if known_s is None else known_s,
            # Of a host that other workers fill nobody can tell how long it takes.
            seconds=None if now < self.full_until else self.estimate.seconds(needs.model_set),
        )

    def status(self, *, waiting: int) -> HostStatus:
        """Say how the host stands, with so many callers waiting that it could draw for."""
        return HostStatus(
            name=self.name,
            condition=self.health.condition,
            slots=self.slots,
            taken=self.taken,
            waiting=waiting,
            model_set=self.model_set,
            seconds=self.estimate.seconds(),
            is_stock_known=self._stock is not None,
            why=self.why,
        )


class SlotLease:
    """What a caller gets: the host, and a way to tell what it was like."""

    def __init__(self, member: PooledHost, needs: Requirements | None, turn: QueuedPrompt) -> None:
        self._member = member
        self._needs = needs
        self._turn = turn

    @property
    def host(self) -> HostClient:
        """The host to draw on."""
        return self._member.client

    def record_drawing(self, seconds: float) -> None:
        """Tell how long the host really drew, without the wait in its queue."""
        if self._needs is not None:
            self._member.estimate.note(
                self._needs.model_set, seconds, is_change=self._turn.is_change
            )

    def with_host_paths(self, graph: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give the graph with file names as this host spells them; Windows hosts do it with backslashes."""
        stock = self._member.capabilities
        return graph if stock is None else stock.with_host_paths(graph)
