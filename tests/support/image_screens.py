"""Image screens for tests: what they say is theirs, and what they saw can be asserted on."""

from chatflow_hook import Rating


class Look:
    """Says the same of every picture, and remembers each."""

    def __init__(self, *, passes: bool) -> None:
        self._passes = passes
        self.seen: list[tuple[bytes, Rating]] = []

    async def passes(self, image: bytes, rating: Rating) -> bool:
        self.seen.append((image, rating))
        return self._passes


class BoldLook:
    """Passes what is for adults, and nothing that is to be safe."""

    async def passes(self, image: bytes, rating: Rating) -> bool:
        return bool(image) and rating is not Rating.SAFE


class BrokenLook:
    """Raises, quoting what must not be in any log."""

    async def passes(self, image: bytes, rating: Rating) -> bool:
        raise RuntimeError(f"secret words about {len(image)} bytes at {rating}")
