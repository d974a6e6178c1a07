"""The words of a status message: how far a picture is, its place in the queue, an estimate; pure."""

import math
from dataclasses import dataclass

from chatflow_hook.messages import Messages

_BAR_CELLS = 10
_DONE, _LEFT = "▰", "▱"
_MINUTE_S = 60
# Estimates are told in steps of so many seconds, so that the text rarely changes; the last ones in
# the steps in which a status message may be edited.
_STEP_S = 5
_LAST_STEP_S = 3
_LAST_S = 9


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How far a picture is.

    `place`: its number in the queue, None while it is drawn. `share`: how much of it is drawn, from
    0 to 1. `left_s`: how many seconds it still takes, None if unknown.
    """

    place: int | None = None
    share: float = 0.0
    left_s: float | None = None


def status_text(stage: Stage, words: Messages, language: str | None) -> str:
    """Return what a status message says at this stage; never empty."""
    estimate = _estimate(stage.left_s, words, language)
    if stage.place is not None:
        waiting = words.text("status_waiting", language=language, number=str(stage.place))
        return "\n".join(filter(None, (waiting, estimate)))
    second_line = " · ".join(filter(None, (_bar(stage.share), estimate)))
    return f"{words.text('status_drawing', language=language)}\n{second_line}"


def _bar(share: float) -> str:
    done = min(_BAR_CELLS, max(0, math.floor(share * _BAR_CELLS)))
    return _DONE * done + _LEFT * (_BAR_CELLS - done)


def _estimate(left_s: float | None, words: Messages, language: str | None) -> str:
    if left_s is None or left_s <= 0:
        return ""
    if left_s >= _MINUTE_S:
        minutes = math.ceil(left_s / _MINUTE_S)
        return words.text("status_minutes", language=language, number=str(minutes))
    step_s = _STEP_S if left_s > _LAST_S else _LAST_STEP_S
    seconds = math.ceil(left_s / step_s) * step_s
    return words.text("status_seconds", language=language, number=str(seconds))
