"""Notices a message counter that rises by two a turn, and says in the log what to change."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from chatflow_hook.turn import Turn

log = structlog.get_logger(__name__)

# How many dialogs are watched: those that had a turn last.
_WATCHED = 1000
# So many turns in a row, in one dialog. A single jump is a turn that was lost in an outage.
_JUMPS = 5


@dataclass(frozen=True, kw_only=True)
class _LastTurn:
    message: int
    message_count: int
    jumps: int


class CounterCheck:
    """Watches how fast the counts of dialogs rise, in the memory of one hook.

    Turns that other processes recorded are counted from the dialog's list of messages, so several
    processes of one bot are no fault. Each warning is logged once.
    """

    def __init__(self) -> None:
        self._last_turns: OrderedDict[int, _LastTurn] = OrderedDict()
        self._logged: set[str] = set()

    def observe(self, turn: Turn, message_count: int, *, counted: Sequence[int]) -> None:
        """Look at one turn; `counted` are the dialog's messages as they are kept after it.

        `message_count` is the count of user messages at this turn.
        """
        last = self._last_turns.pop(turn.dialog_id, None)
        jumps = 0
        if last is not None and last.message in counted:
            turns = list(reversed(counted)).index(last.message)
            if message_count - last.message_count >= 2 * turns > 0:
                jumps = last.jumps + 1
        self._last_turns[turn.dialog_id] = _LastTurn(
            message=counted[-1], message_count=message_count, jumps=jumps
        )
        if len(self._last_turns) > _WATCHED:
            self._last_turns.popitem(last=False)
        if jumps >= _JUMPS:
            self._warn(turn)

    def _warn(self, turn: Turn) -> None:
        if turn.message_count is None:
            event = "two counters in one column"
            advice = (
                "bot and hook both write dialogs.message_count, and pictures come too often:"
                " pass message_count in the turn"
            )
        else:
            event = "message count rises by two a turn"
            advice = (
                "pictures come too often if it counts the persona's messages too:"
                " pass counts_both_roles=True in the turn"
            )
        if event not in self._logged:
            self._logged.add(event)
            log.warning(event, dialog_id=turn.dialog_id, advice=advice)
