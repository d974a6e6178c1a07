"""Readiness: what the worker lacks to make a picture, now."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from imagegen.web.question import Question

_STARTING: Mapping[str, str] = {"worker": "it starts"}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a worker stands: ready if it neither lacks something nor stops."""

    is_stopping: bool
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """Whether the worker takes jobs and can make pictures."""
        return not (self.is_stopping or self.missing)


class Readiness:
    """Asks all questions at once; before there are any, the worker is not ready."""

    def __init__(self, is_stopping: Callable[[], bool]) -> None:
        self._is_stopping = is_stopping
        self._questions: Mapping[str, Question] = {}

    @asynccontextmanager
    async def asking(self, questions: Mapping[str, Question]) -> AsyncIterator[None]:
        """Ask these while the block runs."""
        self._questions = questions
        try:
            yield
        finally:
            self._questions = {}
            await asyncio.gather(*(each.close() for each in questions.values()))

    async def look(self) -> Standing:
        """Say how the worker stands, within about two seconds."""
        if self._is_stopping():
            return Standing(is_stopping=True)
        asked = dict(self._questions)
        if not asked:
            return Standing(is_stopping=False, missing=_STARTING)
        answers = await asyncio.gather(*(each.answer() for each in asked.values()))
        return Standing(
            is_stopping=self._is_stopping(),
            missing={name: why for name, why in zip(asked, answers, strict=True) if why},
        )
