"""The prompts on one host, ours and those of others, and how long they still take; pure."""

from dataclasses import dataclass


@dataclass(eq=False, frozen=True, kw_only=True)
class QueuedPrompt:
    """A prompt in a host's queue.

    `is_model_change`: it needs other models than the prompt before it, whose model set is
    `model_set_before`, None if unknown. `expected_s`: how long it is expected to draw, in seconds,
    None if unknown.
    """

    is_model_change: bool
    expected_s: float | None
    model_set_before: str | None = None


class HostQueue:
    """Our prompts on one host, in the order in which the host draws them, and how many others it has.

    `others` is how many prompts the host had that this pool has not given to it, when it was last
    heard of: those of people and programs that share the host, and of other workers. Times are
    seconds on the pool's clock.
    """

    def __init__(self) -> None:
        self.others = 0
        self._prompts: list[QueuedPrompt] = []
        # Those that the host has begun.
        self._begun: set[QueuedPrompt] = set()
        # Since when the host works on what it works on now.
        self._began_at = 0.0
        # When the host was last known to have a prompt.
        self._used_at = float("-inf")

    def __len__(self) -> int:
        return len(self._prompts)

    def add(self, prompt: QueuedPrompt, *, now: float) -> None:
        """Add a prompt at the end."""
        if not self._prompts and not self.others:
            self._began_at = now
        self._prompts.append(prompt)
        self._used_at = now

    def is_last(self, prompt: QueuedPrompt) -> bool:
        """Whether no prompt was added after this one."""
        return self._prompts[-1] is prompt

    def begin(self, prompt: QueuedPrompt, *, now: float) -> None:
        """Note that the host has begun to draw a prompt of ours."""
        if prompt in self._prompts and prompt not in self._begun:
            self._begun.add(prompt)
            self._began_at = now

    def remove(self, prompt: QueuedPrompt, *, now: float) -> None:
        """Remove a prompt; if it was the first, the next one is drawn from now on."""
        if self._prompts[0] is prompt:
            self._began_at = now
        self._prompts.remove(prompt)
        self._begun.discard(prompt)
        self._used_at = now

    def note_length(self, length: int, *, now: float) -> None:
        """Note how many prompts the host says that it has, ours included."""
        others = max(0, length - len(self._prompts))
        if others < self.others or (others and not self.others and not self._prompts):
            self._began_at = now
        if others or self.others:
            self._used_at = now
        self.others = others

    def idle_s(self, now: float) -> float:
        """Return for how many seconds the host has had no prompt; infinite if it never had one."""
        return 0.0 if self._prompts or self.others else now - self._used_at

    def remaining_s(self, now: float, *, other_s: float | None = None) -> float:
        """Estimate how many seconds all of the prompts still take; infinite if one is unknown.

        `other_s` is how long a prompt of others is expected to take, None if unknown.
        """
        ours = [_known(prompt.expected_s) for prompt in self._prompts]
        others = [_known(other_s)] * self.others
        is_ours_drawn = bool(self._prompts) and self._prompts[0] in self._begun
        return self._together_s(ours + others if is_ours_drawn else others + ours, now)

    def wait_s(self, ahead: int, now: float, *, other_s: float | None) -> float:
        """Estimate how many seconds a prompt still waits that has `ahead` prompts before it."""
        return self._together_s([_known(other_s)] * ahead, now)

    def _together_s(self, expected_s: list[float], now: float) -> float:
        if not expected_s:
            return 0.0
        # A prompt that is late is expected to take as long again as it is late. Otherwise a
        # request could wait for ever for a prompt that seems almost done.
        first_s = abs(expected_s[0] - (now - self._began_at))
        return first_s + sum(expected_s[1:])


def _known(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds
