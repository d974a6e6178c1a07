"""Whether this machine is too busy for the doctor: then what is late is no sign of a silent server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_TICK_S = 0.05
# What was due ran later than it should, by more than this share of all time.
_BUSY_SHARE = 0.25
_LEAST_LATE_S = 0.25
# Above this share of all time our own work, such as reading the personas, left none to wait for others.
_AT_WORK_SHARE = 0.8


class EventLoopDelay:
    """How late the event loop runs what is due, since the beginning."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_at, self._worked_before_s = clock(), time.process_time()
        self._late_s = 0.0

    @property
    def is_too_long(self) -> bool:
        """Whether this process got too little time to tell a silent server from a slow machine."""
        elapsed_s = self._clock() - self._began_at
        worked_s = time.process_time() - self._worked_before_s
        is_late = self._late_s > max(_LEAST_LATE_S, _BUSY_SHARE * elapsed_s)
        return is_late or worked_s > _AT_WORK_SHARE * elapsed_s

    async def measure(self) -> None:
        """Measure until it is cancelled."""
        while True:
            due_at = self._clock() + _TICK_S
            await asyncio.sleep(_TICK_S)
            self._late_s += max(0.0, self._clock() - due_at)


@asynccontextmanager
async def measured_delay() -> AsyncIterator[EventLoopDelay]:
    """Measure the delay of the event loop while the block runs."""
    delay = EventLoopDelay()
    task = asyncio.create_task(delay.measure(), name="doctor measures the event loop")
    try:
        yield delay
    finally:
        task.cancel()
        await asyncio.wait({task})
