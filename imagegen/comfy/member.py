"""Member: one host as its pool knows it."""

import asyncio
from dataclasses import dataclass, field

from imagegen.comfy.choice import Candidate
from imagegen.comfy.client import HostClient
from imagegen.comfy.estimate import Estimate
from imagegen.comfy.health import Health
from imagegen.comfy.line import Line, Turn
from imagegen.comfy.status import HostStatus
from imagegen.comfy.stock import Lack, Needs, Stock

# A host that refused what its stock says it has is believed for so long, and then tried again.
_REFUSED_FOR_S = 300.0


@dataclass(frozen=True, kw_only=True)
class _Refusal:
    lack: Lack
    at: float


@dataclass(eq=False, kw_only=True)
class Member:
    """What is lent, what was last drawn, how the host is and what it has."""

    client: HostClient
    slots: int
    model_set: str | None = None
    health: Health = field(default_factory=Health)
    why: str | None = None
    # Other workers hold its slots until then, as far as we know.
    full_until: float = 0.0
    estimate: Estimate = field(default_factory=Estimate)
    line: Line = field(default_factory=Line)
    # Set when somebody should have a look at the host now.
    asked_for: asyncio.Event = field(default_factory=asyncio.Event)
    _stock: Stock | None = None
    _known: dict[Needs, tuple[Lack, ...]] = field(default_factory=dict)
    _refusals: dict[Needs, _Refusal] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What logs and people call the host."""
        return self.client.name

    @property
    def stock(self) -> Stock | None:
        """What the host has, None as long as nobody knows."""
        return self._stock

    @property
    def taken(self) -> int:
        """How many of its slots are lent."""
        return len(self.line)

    def lend(self, needs: Needs | None, *, now: float) -> Turn:
        """Lend a slot; without needs for a prompt that is on the host already."""
        model_set = needs.model_set if needs else self.model_set
        is_change = model_set != self.model_set
        seconds = self.estimate.seconds(model_set, is_change=is_change)
        turn = Turn(is_change=is_change, seconds=seconds)
        self.model_set = model_set
        self.line.join(turn, now=now)
        return turn

    def has_slot(self, now: float) -> bool:
        """Whether a slot is left, whatever the host's health."""
        return self.taken < self.slots and now >= self.full_until

    def is_free(self, now: float) -> bool:
        """Whether a slot may be lent now to whoever wants one."""
        return self.taken < self.health.places(self.slots) and self.has_slot(now)

    def lacks(self, needs: Needs) -> tuple[Lack, ...] | None:
        """Say what the host lacks to draw this, None if that is not known."""
        if needs in self._refusals:
            return (self._refusals[needs].lack,)
        if self._stock is None:
            return None
        if needs not in self._known:
            self._known[needs] = self._stock.lacks(needs)
        return self._known[needs]

    def refuse(self, needs: Needs, lack: Lack, *, now: float) -> None:
        """Learn from the host itself that it lacks something, and ask for a look at its stock."""
        self._refusals[needs] = _Refusal(lack=lack, at=now)
        self.look_again()

    def restock(self, stock: Stock, *, now: float) -> None:
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

    def look_again(self) -> None:
        """Ask for a look at the host: its stock may be another than we think."""
        self.asked_for.set()

    def candidate(self, needs: Needs, now: float, *, change_s: float) -> Candidate:
        """Say what speaks for drawing this here; `change_s` is what loading costs elsewhere."""
        known_s = self.estimate.change_s
        return Candidate(
            name=self.name,
            is_up=self.health.is_up,
            is_free=self.is_free(now),
            taken=self.taken,
            left_s=self.line.left_s(now),
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
