"""One host as its pool knows it: its slots, its queue, its health and what it can draw."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagegen.comfy.capabilities import HostCapabilities, Missing, Requirements
from imagegen.comfy.client import HostClient
from imagegen.db.tables import HostUse
from imagegen.pool.health import Condition, Health
from imagegen.pool.placement import Candidate, Estimate

# A host that has refused a graph which its capabilities allow is not tried again for this long.
_REFUSED_FOR_S = 300.0


@dataclass(eq=False, frozen=True, kw_only=True)
class QueuedPrompt:
    """A prompt in a host's queue.

    `is_model_change`: it needs other models than the prompt before it. `expected_s`: how long it
    is expected to draw, in seconds, None if unknown.
    """

    is_model_change: bool
    expected_s: float | None


class HostQueue:
    """Our prompts on one host, in the order in which the host draws them.

    Prompts of other workers are not in it.
    """

    def __init__(self) -> None:
        self._prompts: list[QueuedPrompt] = []
        self._first_started_at = 0.0

    def __len__(self) -> int:
        return len(self._prompts)

    def add(self, prompt: QueuedPrompt, *, now: float) -> None:
        """Add a prompt at the end."""
        if not self._prompts:
            self._first_started_at = now
        self._prompts.append(prompt)

    def remove(self, prompt: QueuedPrompt, *, now: float) -> None:
        """Remove a prompt; if it was the first, the next one is drawn from now on."""
        if self._prompts[0] is prompt:
            self._first_started_at = now
        self._prompts.remove(prompt)

    def remaining_s(self, now: float) -> float:
        """Estimate how many seconds all of the prompts still take; infinite if one is unknown."""
        expected_s = [
            float("inf") if prompt.expected_s is None else prompt.expected_s
            for prompt in self._prompts
        ]
        if not expected_s:
            return 0.0
        # A prompt that is late is expected to take as long again as it is late. Otherwise a
        # request could wait for ever for a prompt that seems almost done.
        first_s = abs(expected_s[0] - (now - self._first_started_at))
        return first_s + sum(expected_s[1:])


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """The present state of a host, for people and for other parts of the program.

    `waiting` counts the callers who wait for a slot and for whom it could draw. `model_set` is
    that of the prompt that was given to it last. `seconds` is what a drawing takes on it lately.
    `why` says why it is not up, None if it is up. `is_silent`: it has not answered since it was last
    asked.
    """

    name: str
    address: str
    use: HostUse
    condition: Condition
    is_silent: bool
    slots: int
    taken: int
    waiting: int
    model_set: str | None
    seconds: float | None
    has_capabilities: bool
    why: str | None


@dataclass(frozen=True, kw_only=True)
class _Refusal:
    missing: Missing
    at: float


@dataclass(eq=False, kw_only=True)
class PooledHost:
    """A host of the pool.

    `model_set` is that of the prompt that was given to it last, None before the first one. `why`
    says why it is not up. Times are seconds on the pool's clock.
    """

    client: HostClient
    slots: int
    use: HostUse = HostUse.ACTIVE
    # Removed at once: its prompts are cancelled, and what was left on it is drawn elsewhere.
    is_given_up: bool = False
    model_set: str | None = None
    health: Health = field(default_factory=Health)
    why: str | None = None
    # Until then other workers are assumed to hold all of its slots.
    full_until: float = 0.0
    # It is back, and prompts that nobody waits for are being taken off it.
    is_being_cleared: bool = False
    # When it answered again after its last silence, and when it was last asked without an answer.
    answers_since: float = float("-inf")
    asked_in_vain_at: float = float("-inf")
    estimate: Estimate = field(default_factory=Estimate)
    queue: HostQueue = field(default_factory=HostQueue)
    # Set when the host should be checked now.
    check_requested: asyncio.Event = field(default_factory=asyncio.Event)
    _capabilities: HostCapabilities | None = None
    _capabilities_at: float = float("-inf")
    # What the capabilities lack, computed once for each set of requirements.
    _missing: dict[Requirements, tuple[Missing, ...]] = field(default_factory=dict)
    _refusals: dict[Requirements, _Refusal] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The host's name in logs and sentences."""
        return self.client.name

    @property
    def capabilities(self) -> HostCapabilities | None:
        """What the host has, None as long as it has not been read."""
        return self._capabilities

    @property
    def taken(self) -> int:
        """How many of its slots are lent by this pool."""
        return len(self.queue)

    def lend(self, requirements: Requirements | None, *, now: float) -> QueuedPrompt:
        """Lend a slot; `requirements` is None for a prompt that is already on the host."""
        model_set = requirements.model_set if requirements else self.model_set
        is_model_change = model_set != self.model_set
        expected_s = self.estimate.seconds(model_set, is_change=is_model_change)
        prompt = QueuedPrompt(is_model_change=is_model_change, expected_s=expected_s)
        self.model_set = model_set
        self.queue.add(prompt, now=now)
        return prompt

    def has_slot(self, now: float) -> bool:
        """Whether a slot is left, whatever the host's health."""
        return self.taken < self.slots and now >= self.full_until

    def is_free(self, now: float) -> bool:
        """Whether a slot may be lent now for a new prompt."""
        if self.use is not HostUse.ACTIVE or self.is_being_cleared:
            return False
        return self.taken < self.health.usable_slots(self.slots) and self.has_slot(now)

    def missing(self, requirements: Requirements) -> tuple[Missing, ...] | None:
        """Return what the host lacks to draw this: empty if nothing, None if unknown."""
        if requirements in self._refusals:
            return (self._refusals[requirements].missing,)
        if self._capabilities is None:
            return None
        if requirements not in self._missing:
            self._missing[requirements] = self._capabilities.missing(requirements)
        return self._missing[requirements]

    def ask_again(self, requirements: Requirements, *, since: float, refused_since: float) -> bool:
        """Ask the host again what it lacks, unless it has said so lately; return whether it is asked.

        Lately: it has refused a prompt with these requirements at `refused_since` or later, or its
        capabilities were read at `since` or later. An older refusal is forgotten, since only
        another prompt can show whether it still holds.
        """
        if (refusal := self._refusals.get(requirements)) is not None:
            if refusal.at >= refused_since:
                return False
            del self._refusals[requirements]
            if not self.missing(requirements):
                return True
        if self._capabilities_at >= since:
            return False
        self.request_check()
        return True

    def note_refusal(self, requirements: Requirements, missing: Missing, *, now: float) -> None:
        """Note what the host lacks by its own answer to a prompt, and request a check."""
        self._refusals[requirements] = _Refusal(missing=missing, at=now)
        self.request_check()

    def set_capabilities(self, capabilities: HostCapabilities, *, now: float) -> None:
        """Note what the host had when it was asked at `now`."""
        # The capabilities do not show everything that a host checks. As long as they are
        # unchanged, a graph that was refused within the last minutes would be refused again.
        if capabilities == self._capabilities:
            self._refusals = {
                requirements: refusal
                for requirements, refusal in self._refusals.items()
                if now < refusal.at + _REFUSED_FOR_S
            }
        else:
            self._refusals = {}
        self._capabilities = capabilities
        self._capabilities_at = now
        self._missing = {}

    def request_check(self) -> None:
        """Request a check of the host now, since its capabilities may have changed."""
        self.check_requested.set()

    def candidate(self, requirements: Requirements, now: float, *, change_s: float) -> Candidate:
        """Return what placement needs to know of this host.

        `change_s` is what a change of models costs on the other hosts, in seconds; it is used
        until this host has shown its own.
        """
        own_change_s = self.estimate.change_s
        return Candidate(
            name=self.name,
            is_up=self.health.is_up,
            is_free=self.is_free(now),
            taken=self.taken,
            left_s=self.queue.remaining_s(now),
            has_models=self.model_set == requirements.model_set,
            change_s=change_s if own_change_s is None else own_change_s,
            # How long a host takes whose slots other workers hold is unknown.
            seconds=None
            if now < self.full_until
            else self.estimate.seconds(requirements.model_set),
        )

    def status(self, *, waiting: int) -> HostStatus:
        """Return the present state of the host; `waiting` is counted by the pool."""
        return HostStatus(
            name=self.name,
            address=str(self.client.address.base),
            use=self.use,
            condition=self.health.condition,
            is_silent=self.health.is_silent,
            slots=self.slots,
            taken=self.taken,
            waiting=waiting,
            model_set=self.model_set,
            seconds=self.estimate.seconds(),
            has_capabilities=self._capabilities is not None,
            why=self.why,
        )


class SlotLease:
    """A slot on a host, lent to a caller of the pool.

    `requirements` is None if the slot is for the prompt that the caller has left on this host.
    `expected_s`: after how many seconds the prompt will probably have ended, None if unknown.
    """

    def __init__(
        self,
        host: PooledHost,
        requirements: Requirements | None,
        prompt: QueuedPrompt,
        *,
        expected_s: float | None = None,
    ) -> None:
        self.expected_s = expected_s
        self._host = host
        self._requirements = requirements
        self._prompt = prompt

    @property
    def host(self) -> HostClient:
        """The client of the host to draw on."""
        return self._host.client

    @property
    def is_resumption(self) -> bool:
        """Whether to follow the prompt that was left on this host, instead of posting a new one."""
        return self._requirements is None

    @property
    def is_given_up(self) -> bool:
        """Whether the prompt is to be cancelled, since its host was removed at once."""
        return self._host.is_given_up

    def record_drawing(self, seconds: float) -> None:
        """Note how long the host has drawn, without the wait in its queue.

        Nothing is noted for a prompt that was on the host before this lease.
        """
        if self._requirements is not None:
            self._host.estimate.note(
                self._requirements.model_set, seconds, is_change=self._prompt.is_model_change
            )

    def with_host_paths(self, graph: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the graph with file names as this host spells them: on Windows with backslashes.

        The graph is returned as it is if the host's capabilities are unknown.
        """
        capabilities = self._host.capabilities
        return graph if capabilities is None else capabilities.with_host_paths(graph)
