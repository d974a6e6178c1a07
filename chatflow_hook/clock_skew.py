"""How far the clocks of Redis and PostgreSQL are from this process's own.

No picture waits for such a difference, since nothing is decided by this process's clock. But who
reads logs of several machines has to know of it.
"""

import time
from collections.abc import Awaitable, Callable

import structlog

# The name says that each line is a change: a worker leaves out lines that only repeat.
log = structlog.get_logger(f"{__name__}.changes")

_WARN_FROM_S = 2.0


class ClockSkew:
    """The difference between one server's clock and this process's clock.

    A difference of 2 s and more is logged once, with the figure and what to do, and again once it
    is over. `ahead_s` is how far the server was ahead when it was asked last, negative if it was
    behind, None if it was not asked yet. `clock` returns seconds since the epoch, like time.time.
    An answer that took longer than `max_round_trip_s` says too little and is not counted: the server
    read its clock at some time in between.
    """

    def __init__(
        self,
        server: str,
        *,
        clock: Callable[[], float] = time.time,
        max_round_trip_s: float = 1.0,
    ) -> None:
        self.ahead_s: float | None = None
        self._server = server
        self._clock = clock
        self._max_round_trip_s = max_round_trip_s
        self._is_warned = False

    async def measure(self, read_clock: Callable[[], Awaitable[float]]) -> float:
        """Return what `read_clock` returned: the server's time in seconds since the epoch.

        An exception of `read_clock` comes through, and then nothing has been measured.
        """
        began, asked_at = time.monotonic(), self._clock()
        server_s = await read_clock()
        round_trip_s = time.monotonic() - began
        if round_trip_s <= self._max_round_trip_s:
            self._note(server_s - (asked_at + round_trip_s / 2))
        return server_s

    def _note(self, ahead_s: float) -> None:
        self.ahead_s = round(ahead_s, 3)
        is_apart = abs(ahead_s) >= _WARN_FROM_S
        if is_apart == self._is_warned:
            return
        self._is_warned = is_apart
        if is_apart:
            log.warning(
                "clocks differ",
                server=self._server,
                server_ahead_s=round(ahead_s, 1),
                advice="set the clocks of both machines by NTP",
            )
        else:
            log.info("clocks agree again", server=self._server)
