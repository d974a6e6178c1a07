"""Line: the prompts that stand on one host, in their order, and how long they will take; pure."""

from dataclasses import dataclass


@dataclass(eq=False, frozen=True, kw_only=True)
class Turn:
    """One prompt in the line: `is_change` if other models stand before it, `seconds` if known."""

    is_change: bool
    seconds: float | None


class Line:
    """Who joined first is drawn now."""

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._began_at = 0.0

    def __len__(self) -> int:
        return len(self._turns)

    def join(self, turn: Turn, *, now: float) -> None:
        """Stand at the end of the line."""
        if not self._turns:
            self._began_at = now
        self._turns.append(turn)

    def leave(self, turn: Turn, *, now: float) -> None:
        """Go; if it was the first, the next one is drawn from now on."""
        if self._turns[0] is turn:
            self._began_at = now
        self._turns.remove(turn)

    def left_s(self, now: float) -> float:
        """Estimate when all of it is drawn; endless if nobody knows how long one of them takes."""
        seconds = [float("inf") if turn.seconds is None else turn.seconds for turn in self._turns]
        if not seconds:
            return 0.0
        # What is late will be later still: so nobody waits for ever for what is almost done.
        first_s = abs(seconds[0] - (now - self._began_at))
        return first_s + sum(seconds[1:])
