"""Image screens for tests, with fixed answers."""

from chatflow_hook import Rating


class FixedImageScreen:
    """Gives the same answer for every image, and records what it saw."""

    def __init__(self, *, passes: bool) -> None:
        self._passes = passes
        self.seen: list[tuple[bytes, Rating]] = []

    async def passes(self, image: bytes, rating: Rating) -> bool:
        self.seen.append((image, rating))
        return self._passes


class RaisingImageScreen:
    """Raises an error with text that must not be in any log."""

    async def passes(self, image: bytes, rating: Rating) -> bool:
        raise RuntimeError(f"secret words about {len(image)} bytes at {rating}")
