"""Logs what this worker has counted since its start, at most every five minutes and at its end."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from imagegen import periodic
from imagegen.pipeline.image_cache import CacheSavings

log = structlog.get_logger(__name__)

_LOG_EVERY_S = 300.0


class CounterLog:
    """Logs the counters if one has changed.

    `fallbacks` counts, by reason, the prompts that the template wrote instead of the language
    model. `saved` is what the image cache has saved.
    """

    def __init__(self, fallbacks: Mapping[str, int], saved: CacheSavings) -> None:
        self._fallbacks = fallbacks
        self._saved = saved
        self._logged_counts = self._counts()

    @asynccontextmanager
    async def logged(self) -> AsyncIterator[None]:
        """Log changes while the block runs, and once more at its end."""
        try:
            async with periodic.every(_LOG_EVERY_S, self._log_changes, name="counters"):
                yield
        finally:
            await self._log_changes()

    async def _log_changes(self) -> None:
        counts = self._counts()
        if counts != self._logged_counts:
            self._logged_counts = counts
            log.info("counted since the start", **counts)

    def _counts(self) -> dict[str, Any]:
        return {
            "not_drawn_again": self._saved.pictures,
            "seconds_saved": round(self._saved.seconds, 1),
            "prompts_from_template": dict(self._fallbacks),
        }
