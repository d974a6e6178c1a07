"""Tally: tells in the log, now and then, what this worker has counted since its start."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from imagegen import periodic
from imagegen.pipeline.image_cache import CacheSavings

log = structlog.get_logger(__name__)

_EVERY_S = 300.0


class CounterLog:
    """Tells whenever a count has changed: `fallbacks` of the prompt builder, and what was saved."""

    def __init__(self, fallbacks: Mapping[str, int], saved: CacheSavings) -> None:
        self._fallbacks = fallbacks
        self._saved = saved
        self._told = self._counts()

    @asynccontextmanager
    async def logged(self) -> AsyncIterator[None]:
        """Tell while the block runs, and once more at its end."""
        try:
            async with periodic.every(_EVERY_S, self._tell, name="tally"):
                yield
        finally:
            await self._tell()

    async def _tell(self) -> None:
        counts = self._counts()
        if counts != self._told:
            self._told = counts
            log.info("counted since the start", **counts)

    def _counts(self) -> dict[str, Any]:
        return {
            "not_drawn_again": self._saved.pictures,
            "seconds_saved": round(self._saved.seconds, 1),
            "prompts_from_template": dict(self._fallbacks),
        }
