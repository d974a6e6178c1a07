"""Pool: lends slots on ComfyUI hosts."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from imagegen.comfy import health
from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost
from imagegen.comfy.health import Condition, Health

log = structlog.get_logger(__name__)

Clock = Callable[[], float]


@dataclass(eq=False)
class _Host:
    client: HostClient
    slots: int
    taken: int = 0
    model_set: str | None = None
    health: Health = field(default_factory=Health)


@dataclass(eq=False)
class _Waiter:
    model_set: str
    place: "asyncio.Future[_Host]"


class Pool:
    """Spreads prompts over hosts; what is lent is a place, given back when the host is done.

    A host that is not up is tried with one prompt at a time once it has rested.
    """

    def __init__(
        self,
        clients: Sequence[HostClient],
        *,
        slots_per_host: int = 2,
        most: int | None = None,
        clock: Clock | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._hosts = [_Host(client=client, slots=slots_per_host) for client in clients]
        self._most = most or slots_per_host * len(self._hosts)
        self._waiters: list[_Waiter] = []
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._chance = chance or random.Random()  # noqa: S311 (spreads retries, keeps no secret)
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def taken(self) -> int:
        """How many slots are lent."""
        return sum(host.taken for host in self._hosts)

    @property
    def waiting(self) -> int:
        """How many callers wait for a slot."""
        return len(self._waiters)

    @asynccontextmanager
    async def lease(self, model_set: str) -> AsyncIterator[HostClient]:
        """Lend a slot on the best host for this model set, waiting as long as it takes.

        Whether the host lives is learnt from how the block ends: a HostLost puts it to rest.
        """
        host = await self._acquire(model_set)
        try:
            yield host.client
        except HostLost as error:
            self._note_failure(host, error)
            raise
        else:
            self._note_answer(host)
        finally:
            self._release(host)

    async def _acquire(self, model_set: str) -> _Host:
        waiter = _Waiter(model_set=model_set, place=asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._assign()
        try:
            return await waiter.place
        except asyncio.CancelledError:
            # The place may have come at the very moment of the cancellation.
            if waiter.place.done() and not waiter.place.cancelled():
                self._release(waiter.place.result())
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _release(self, host: _Host) -> None:
        host.taken -= 1
        self._assign()

    def _assign(self) -> None:
        """Give free slots to waiters, first come first served."""
        while self._waiters and self.taken < self._most:
            free = [host for host in self._hosts if self._is_free(host)]
            if not free:
                break
            waiter = self._waiters.pop(0)
            if waiter.place.done():  # cancelled, and about to say so itself
                continue
            host = min(free, key=lambda host: self._cost(host, waiter.model_set))
            host.taken += 1
            host.model_set = waiter.model_set
            waiter.place.set_result(host)
        self._set_alarm()

    def _is_free(self, host: _Host) -> bool:
        slots = host.slots if host.health.condition is Condition.UP else 1
        return host.taken < slots and host.health.is_due(self._clock())

    def _cost(self, host: _Host, model_set: str) -> tuple[bool, int, bool]:
        # A host that may be down is the last choice; then spread before stack; then the one
        # that has the models in place, since changing a LoRA costs seconds.
        return (
            host.health.condition is not Condition.UP,
            host.taken,
            host.model_set != model_set,
        )

    def _note_answer(self, host: _Host) -> None:
        if host.health.condition is not Condition.UP:
            log.info("host is back", host=host.client.name)
        host.health = health.after_answer()

    def _note_failure(self, host: _Host, error: HostLost) -> None:
        host.health = health.after_failure(
            host.health, now=self._clock(), jitter=self._chance.random()
        )
        log.warning(
            "host failed",
            host=host.client.name,
            condition=host.health.condition.value,
            why=error.sentence,
        )

    def _set_alarm(self) -> None:
        """Look again when the first resting host may be tried: nothing else wakes a waiter."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        now = self._clock()
        rests = [host.health.rests_until for host in self._hosts if not host.health.is_due(now)]
        if self._waiters and rests:
            delay = max(0.0, min(rests) - now)
            self._alarm = asyncio.get_running_loop().call_later(delay, self._assign)
