"""HealthChecker: probes one host and reads its capabilities, for as long as the pool runs."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from imagegen.comfy.client import HostClient
from imagegen.comfy.errors import HostLost
from imagegen.errors import ImagegenError
from imagegen.pool.health import Health
from imagegen.pool.health_tracking import Clock, HealthTracker
from imagegen.pool.host import PooledHost

log = structlog.get_logger(__name__)

# Called with a host that answers again, before it gets a new prompt.
OnReturn = Callable[[HostClient], Awaitable[None]]

# A frozen host accepts a connection and never answers.
_PROBE_TIMEOUT_S = 5.0
# A host with many files on a slow disk needs long. Without its capabilities it is used all the
# same: what it lacks is then learnt from its refusals.
_CAPABILITIES_TIMEOUT_S = 15.0
_CAPABILITIES_EVERY_S = 300.0
_CAPABILITIES_RETRY_S = 15.0
# Idle hosts are probed too, so that no request has to find out that a host is gone.
_PROBE_EVERY_S = 20.0
# While others draw on a host, the length of its queue decides where our prompts go.
_PROBE_SHARED_EVERY_S = 2.0
# A host that refuses one prompt after another is not checked after each of them, and neither is
# one whose capabilities are asked for again by one request after another.
_LEAST_PAUSE_S = 0.5
# How long `on_return` may take: an old server takes 18 s to stop a prompt in its last node.
_ON_RETURN_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 1.0


class HealthChecker:
    """Probes a resting host when its rest is over, and any host every 20 s or so.

    A host that has prompts of others is probed every 2 s or so.

    Reads the host's capabilities every 5 minutes or so, when the host is back, and when a check
    was requested. `on_change` is called after each check. `chance` spreads the intervals.

    A host that is back gets no new prompt before `on_return` has ended; the prompts that it still
    has may be taken up from its first answer on.
    """

    def __init__(  # noqa: PLR0913 - all by name but two
        self,
        host: PooledHost,
        tracker: HealthTracker,
        *,
        clock: Clock,
        chance: random.Random,
        on_change: Callable[[], None],
        on_return: OnReturn,
    ) -> None:
        self._host = host
        self._tracker = tracker
        self._clock = clock
        self._chance = chance
        self._on_change = on_change
        self._on_return = on_return
        self._probe_at = self._capabilities_at = clock()
        self._no_capabilities_before = clock()
        self._is_stopped = False
        self.first_check_done = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Check the host while the block runs."""
        task = asyncio.create_task(self._run(), name=f"health checks of {self._host.name}")
        try:
            yield
        finally:
            # Both: if a library swallows the cancellation, the flag ends the loop.
            self._is_stopped = True
            task.cancel()
            await asyncio.wait({task}, timeout=_STOP_TIMEOUT_S)

    async def step(self) -> None:
        """Check the host if a check is due or was requested."""
        if self._host.check_requested.is_set():
            self._host.check_requested.clear()
            self._capabilities_at = max(self._clock(), self._no_capabilities_before)
        if self.next_at() <= self._clock():
            await self._check()

    def next_at(self) -> float:
        """Return the time of the next check, in seconds on the pool's clock."""
        if self._host.health.is_resting:
            return self._host.health.rests_until
        return min(self._probe_at, self._capabilities_at)

    async def _run(self) -> None:
        while not self._is_stopped:
            try:
                await self.step()
            except Exception:
                log.exception("a look at a host failed", host=self._host.name)
                self._postpone()
            await self._pause()

    async def _check(self) -> None:
        health_before, asked_at = self._host.health, self._clock()
        try:
            await self._probe()
        except HostLost as error:
            if self._may_judge(health_before):
                self._tracker.record_silence(self._host, error, asked_at=asked_at)
        else:
            await self._handle_answer(health_before)
        is_shared = bool(self._host.queue.others)
        self._probe_at = self._clock() + self._spread(
            _PROBE_SHARED_EVERY_S if is_shared else _PROBE_EVERY_S
        )
        self.first_check_done.set()
        self._on_change()

    async def _handle_answer(self, health_before: Health) -> None:
        host = self._host
        if host.health is not health_before:
            return  # a prompt has meanwhile shown more than a probe; the next check comes soon
        self._tracker.record_contact(host)
        self._on_change()
        answering = host.health
        if answering.is_resting:
            await self._clear()
        # The host may be back with other files.
        if answering.is_resting or self._capabilities_at <= self._clock():
            await self._read_capabilities()
        if host.health is answering:
            self._tracker.record_ready(host)

    async def _clear(self) -> None:
        self._host.is_being_cleared = True
        try:
            async with asyncio.timeout(_ON_RETURN_TIMEOUT_S):
                await self._on_return(self._host.client)
        except (ImagegenError, TimeoutError) as error:
            # The host is used all the same: what is left on it only makes it later.
            log.warning("host not cleared", host=self._host.name, why=str(error) or "too slow")
        finally:
            self._host.is_being_cleared = False

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                length = await self._host.client.probe()
        except TimeoutError:
            raise HostLost(
                f"{self._host.name} does not answer within {_PROBE_TIMEOUT_S:g} s"
            ) from None
        self._host.note_queue(length, now=self._clock())

    def _may_judge(self, health_before: Health) -> bool:
        # A prompt that runs on the host proves more than a probe that timed out meanwhile.
        host = self._host
        return host.health is health_before and not (host.health.is_up and host.taken)

    async def _read_capabilities(self) -> None:
        host, asked_at = self._host, self._clock()
        try:
            async with asyncio.timeout(_CAPABILITIES_TIMEOUT_S):
                capabilities = await host.client.capabilities()
        except (HostLost, ValueError, TimeoutError) as error:
            log.warning("stock of a host not read", host=host.name, why=str(error) or "too slow")
            self._capabilities_at = self._clock() + self._spread(_CAPABILITIES_RETRY_S)
            self._no_capabilities_before = self._capabilities_at
        else:
            host.set_capabilities(capabilities, now=asked_at)
            self._capabilities_at = self._clock() + self._spread(_CAPABILITIES_EVERY_S)

    def _spread(self, seconds: float) -> float:
        return seconds * (1 + self._chance.random() / 2)

    def _postpone(self) -> None:
        self._probe_at = self._capabilities_at = self._clock() + _PROBE_EVERY_S
        if self._host.health.is_resting:
            # Its rest is over, or the check would not have run. Without a new rest the loop would
            # check it again without a pause.
            self._tracker.record_silence(self._host, HostLost("a fault of ours, see the log"))

    async def _pause(self) -> None:
        """Wait until the next check is due or requested."""
        await asyncio.sleep(_LEAST_PAUSE_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self.next_at() - self._clock())):
                await self._host.check_requested.wait()
