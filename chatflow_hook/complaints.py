"""Complaints: what the log says of turns that were not recorded, the same not too often."""

import time

import structlog

from chatflow_hook import cause
from chatflow_hook.cause import Cause
from chatflow_hook.throttle import Throttle
from chatflow_hook.turn import Turn

log = structlog.get_logger(__name__)

# How often the log says the same.
_SAY_EVERY_S = 60.0


class Complaints:
    """Tells each cause when it begins, and how often it was the cause since."""

    def __init__(self) -> None:
        self._throttle = Throttle(every_s=_SAY_EVERY_S)
        self._warned_of_serializable = False

    def of(
        self, turn: Turn, why: Cause, started: float, error: BaseException | None = None
    ) -> None:
        """Tell that a turn was not recorded, which began at `started` of time.monotonic."""
        untold = self._throttle.admit(why.sentence)
        if untold is None:
            return
        # The type and the database's code, never its words: they may quote what people wrote.
        (log.error if why.lasts else log.warning)(
            "turn not recorded",
            why=why.sentence,
            dialog_id=turn.dialog_id,
            error=error and type(error).__name__,
            sqlstate=error and cause.sqlstate(error),
            seconds=round(time.monotonic() - started, 3),
            untold=untold,
        )

    def overdue(self) -> None:
        """Tell how many turns were not told of, where that is due."""
        self._tell(self._throttle.overdue())

    def rest(self) -> None:
        """Tell all that is left to tell, at the end."""
        self._tell(self._throttle.rest())

    def of_serializable(self) -> None:
        """Warn, once, of transactions that may fail at the bot's commit."""
        if not self._warned_of_serializable:
            self._warned_of_serializable = True
            log.warning(
                "session is serializable",
                advice="its commit may fail beside another turn's: run it again then",
            )

    def _tell(self, unsaid: dict[str, int]) -> None:
        for why, count in unsaid.items():
            log.warning("turns not recorded", why=why, count=count)
