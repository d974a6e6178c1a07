"""Tidied: what was erased when its time was over, and how people read it; pure."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Tidied:
    """Counts of what was erased, or of what would be.

    `contexts`: conversations of failed requests. `cancelled`: open requests of dialogs that are
    gone. `requests`: rows, with their deliveries. `emptied`: rows that stay without their picture.
    `pictures`: files that rows had named; `orphans`: files that no row named. `notes`: what the
    screen had found.
    """

    contexts: int = 0
    cancelled: int = 0
    requests: int = 0
    emptied: int = 0
    pictures: int = 0
    orphans: int = 0
    notes: int = 0

    def __add__(self, other: "Tidied") -> "Tidied":
        """Sum up."""
        more = asdict(other)
        return Tidied(**{name: count + more[name] for name, count in asdict(self).items()})

    @property
    def is_nothing(self) -> bool:
        """Whether nothing was erased."""
        return self == Tidied()

    def as_text(self, *, is_rehearsal: bool) -> str:
        """Write a line for each kind."""
        verb = "would be erased" if is_rehearsal else "erased"
        lines = (
            f"{self.contexts:>7} conversations of failed requests",
            f"{self.requests:>7} requests, with their deliveries",
            f"{self.cancelled:>7} open requests of dialogs that are gone, called off first",
            f"{self.pictures:>7} pictures, of {self.emptied} requests that stay and of those erased",
            f"{self.orphans:>7} files in the store that no request names",
            f"{self.notes:>7} notes of what the screen found",
        )
        return "\n".join([f"{verb}:", *lines])
