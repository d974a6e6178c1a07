"""One host as its pool knows it: its slots, its queue, its health and what it can draw."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imagegen.comfy.capabilities import HostCapabilities, Missing, Requirements
from imagegen.comfy.client import HostClient
from imagegen.db.tables import HostUse
from imagegen.pool.health import Condition, Health
from imagegen.pool.host_queue import HostQueue, QueuedPrompt
from imagegen.pool.placement import Candidate, Estimate

# A host that has refused a graph which its capabilities allow is not tried again for this long.
_REFUSED_FOR_S = 300.0
# A host that ran out of memory draws the same models only if no other host is free, for this long.
_SHORT_OF_MEMORY_FOR_S = 120.0
# A duration that is longer is told in minutes.
_SECONDS_TOLD_S = 120.0


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """The present state of a host, for people and for other parts of the program.

    `others` counts the prompts on it that this pool has not given to it. `waiting` counts the
    callers who wait for a slot and for whom it could draw. `model_set` is
    that of the prompt that was given to it last, and `loaded` the one that it is known to have in
    memory. `idle_s` is for how long it has had no prompt of anybody, as far as is known. `seconds` is
    what a drawing takes on it lately. `why` says why it is not up, None if it
    is up. `is_silent`: it has not answered since it was last asked. `answers_since` is when it
    answered again after its last silence, on the pool's clock.
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
    others: int = 0
    loaded: str | None = None
    idle_s: float = float("inf")
    answers_since: float = float("-inf")

    @property
    def is_usable(self) -> bool:
        """Whether new prompts go to it: it is not drained, and neither down nor put aside."""
        return self.use is HostUse.ACTIVE and self.condition in (Condition.UP, Condition.SUSPECT)


@dataclass(frozen=True, kw_only=True)
class _Refusal:
    missing: Missing
    at: float


@dataclass(eq=False, kw_only=True)
class PooledHost:
    """A host of the pool.

    `model_set` is that of the prompt that was given to it last, None before the first one. `loaded`
    is the model set that it is known to have in memory, None if unknown. `why` says why it is not
    up. Times are seconds on the pool's clock.
    """

    client: HostClient
    slots: int
    use: HostUse = HostUse.ACTIVE
    # Removed at once: its prompts are cancelled, and what was left on it is drawn elsewhere.
    is_given_up: bool = False
    model_set: str | None = None
    loaded: str | None = None
    health: Health = field(default_factory=Health)
    why: str | None = None
    # How many of its slots other workers may have left; None: unknown, so all are tried.
    room: int | None = None
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
    # By model set: until when the host is avoided, since it had too little memory.
    _short_of_memory: dict[str, float] = field(default_factory=dict)

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
        prompt = QueuedPrompt(
            is_model_change=is_model_change,
            expected_s=expected_s,
            model_set_before=self.model_set,
        )
        self.model_set = model_set
        self.queue.add(prompt, now=now)
        if self.room:
            self.room -= 1
        return prompt

    def take_back(self, prompt: QueuedPrompt, *, now: float) -> None:
        """Take back a slot whose prompt was never given to the host."""
        if self.queue.is_last(prompt):
            self.model_set = prompt.model_set_before
        self.queue.remove(prompt, now=now)

    @property
    def is_full_elsewhere(self) -> bool:
        """Whether other workers hold all slots that this one does not hold."""
        return self.room == 0

    def is_free(self) -> bool:
        """Whether a slot may be lent now for a new prompt."""
        # First what is so for most hosts when callers wait: it is asked of all hosts at each change.
        if self.taken >= self.slots or self.is_full_elsewhere:
            return False
        if self.use is not HostUse.ACTIVE or self.is_being_cleared:
            return False
        return self.taken < self.health.usable_slots(self.slots)

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

    def note_queue(self, length: int | None, *, now: float) -> None:
        """Note how many prompts the host says that it has, those of others included; None: nothing."""
        if length is None:
            return
        self.queue.note_length(length, now=now)
        if self.queue.others:
            self.loaded = None  # their models may have taken the place of ours

    def note_lack_of_memory(self, model_set: str, *, now: float) -> None:
        """Note that a drawing with these models ran out of memory."""
        self._short_of_memory[model_set] = now + _SHORT_OF_MEMORY_FOR_S

    def note_memory_suffices(self, model_set: str) -> None:
        """Note that a drawing with these models has ended well."""
        self._short_of_memory.pop(model_set, None)

    def candidate(
        self, requirements: Requirements, now: float, *, change_s: float, typical_s: float | None
    ) -> Candidate:
        """Return what placement needs to know of this host.

        `change_s` is what a change of models costs on the other hosts, and `typical_s` how long a
        drawing takes on them, None if unknown; both in seconds, and used until this host has shown
        its own.
        """
        own_change_s, own_s = self.estimate.change_s, self.estimate.seconds(requirements.model_set)
        if own_s is None and self.queue.others:
            own_s = typical_s
        return Candidate(
            name=self.name,
            is_up=self.health.is_up,
            losses=self.health.losses,
            is_free=self.is_free(),
            is_short_of_memory=now < self._short_of_memory.get(requirements.model_set, now),
            taken=self.taken,
            others=self.queue.others,
            left_s=self.queue.remaining_s(now, other_s=self.other_s(typical_s)),
            has_models=self.model_set == requirements.model_set,
            change_s=change_s if own_change_s is None else own_change_s,
            # How long a host takes whose slots other workers hold is unknown.
            seconds=None if self.is_full_elsewhere else own_s,
        )

    def other_s(self, typical_s: float | None) -> float | None:
        """Return how long a prompt of others is expected to take here: as long as one of ours."""
        own_s = self.estimate.seconds()
        return typical_s if own_s is None else own_s

    def status(self, *, waiting: int, now: float) -> HostStatus:
        """Return the present state of the host at `now`; `waiting` is counted by the pool."""
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
            why=self._why_not_up(now),
            others=self.queue.others,
            loaded=self.loaded,
            idle_s=self.queue.idle_s(now),
            answers_since=self.answers_since,
        )

    def _why_not_up(self, now: float) -> str | None:
        """Return why it is not up; of a silence that is over, that it is over."""
        if self.health.condition is not Condition.SUSPECT or self.health.is_silent:
            return self.why
        answers_s = now - self.answers_since
        since = f"{answers_s:.0f} s" if answers_s < _SECONDS_TOLD_S else f"{answers_s / 60:.0f} min"
        return (
            f"{self.name} has answered again for {since}, and gets one prompt at a time until it has "
            f"drawn one; before that: {self.why}"
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
        clock: Callable[[], float],
        expected_s: float | None = None,
    ) -> None:
        self.expected_s = expected_s
        self.requirements = requirements
        self._host = host
        self._prompt = prompt
        self._clock = clock

    @property
    def host(self) -> HostClient:
        """The client of the host to draw on."""
        return self._host.client

    @property
    def is_resumption(self) -> bool:
        """Whether to follow the prompt that was left on this host, instead of posting a new one."""
        return self.requirements is None

    @property
    def most_ahead(self) -> int:
        """How many prompts the host draws at most before that of the lease."""
        return self._host.taken + self._host.queue.others - 1

    @property
    def is_given_up(self) -> bool:
        """Whether the prompt is to be cancelled, since its host was removed at once."""
        return self._host.is_given_up

    def note_queue(self, length: int) -> None:
        """Note how many prompts the host says that it has, those of others included."""
        self._host.note_queue(length, now=self._clock())

    def note_begin(self) -> None:
        """Note that the host has begun to draw the prompt."""
        self._host.queue.begin(self._prompt, now=self._clock())

    def are_models_loaded(self) -> bool:
        """Whether the host is known to have the models of the prompt in memory."""
        return self.requirements is not None and self._host.loaded == self.requirements.model_set

    def record_drawing(self, seconds: float, *, loading_s: float | None = None) -> None:
        """Note how long the host has drawn, without the wait in its queue.

        `loading_s` is how much of it passed before the first step of a sampler, None if unknown.
        Nothing is noted for a prompt that was on the host before this lease.
        """
        if self.requirements is None:
            return
        is_change = self._prompt.is_model_change
        if self._host.loaded is None and loading_s is not None:
            # A load from disk, which says nothing of a change between models that are in memory.
            seconds, is_change = seconds - loading_s, False
        self._host.estimate.note(self.requirements.model_set, seconds, is_change=is_change)

    def with_host_paths(self, graph: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the graph with file names as this host spells them: on Windows with backslashes.

        The graph is returned as it is if the host's capabilities are unknown.
        """
        capabilities = self._host.capabilities
        return graph if capabilities is None else capabilities.with_host_paths(graph)
