"""DueWork: which periodic work there is, asked by one statement for all of it.

A worker that has nothing to do would otherwise ask for each kind of work by itself.
"""

import asyncio
import enum
import time
from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import Boolean, Exists, bindparam, case, false, literal, select
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.tables import UnreadTurn
from imagegen.db.engine import first
from imagegen.db.tables import ComfyuiHost, ForgottenMessage, PauseEntry
from imagegen.errors import Unavailable
from imagegen.maintenance import stray_prompts
from imagegen.requests import chat_ends, repository


class Work(enum.StrEnum):
    """A kind of work that is looked for in PostgreSQL at intervals."""

    PAUSES = "pauses"
    HOST_ORDERS = "host_orders"
    UNREAD_TURNS = "unread_turns"
    SILENT_REQUESTS = "silent_requests"
    STRAY_PROMPTS = "stray_prompts"
    CHAT_ENDS = "chat_ends"
    FORGOTTEN_MESSAGES = "forgotten_messages"


_EXISTS: Mapping[Work, Exists] = {
    Work.PAUSES: select(PauseEntry).exists(),
    Work.HOST_ORDERS: select(ComfyuiHost).exists(),
    Work.UNREAD_TURNS: select(UnreadTurn).where(UnreadTurn.read_at.is_(None)).exists(),
    Work.SILENT_REQUESTS: select(literal(1)).where(repository.IS_SILENT).exists(),
    Work.STRAY_PROMPTS: select(literal(1)).where(stray_prompts.IS_LEFT).exists(),
    Work.CHAT_ENDS: select(literal(1)).where(chat_ends.IS_DUE).exists(),
    Work.FORGOTTEN_MESSAGES: select(ForgottenMessage).exists(),
}
# Built once, since it is asked every second. What is not asked for is not looked for.
_DUE = DirectQuery(
    select(
        *(
            case((bindparam(f"asks_{work}", type_=Boolean), exists), else_=false()).label(work)
            for work, exists in _EXISTS.items()
        )
    )
)


class DueWork:
    """Sets the event of each kind of work when there is some; call `step` every `look_every_s`.

    An event is set once more when the work has gone, since a pause that has ended is also news. All
    are set while PostgreSQL cannot be asked: then each part of the worker finds out by itself. Who
    does the work clears its event.

    Pauses are due from the beginning, so that they are known before the first picture. The first
    look also sets what a part of the worker remembers, since that may have gone just before it.

    `every_s` says how often each kind is looked for; the shortest of these is `look_every_s`, to the
    half of which the others are rounded. `silent_s`: how long nobody has written to a request that
    the relay has to look at. `clock` returns seconds.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        every_s: Mapping[Work, float],
        silent_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._every_s = every_s
        self._values = {**stray_prompts.TIMES, **chat_ends.TIMES, "silent_s": silent_s}
        self.look_every_s = min(every_s.values())
        self._clock = clock
        self._asked_at = dict.fromkeys(every_s, float("-inf"))
        self._was_there: set[Work] = {Work.PAUSES, Work.HOST_ORDERS}
        self._events = {work: asyncio.Event() for work in every_s}
        self._set({Work.PAUSES})

    def event(self, work: Work) -> asyncio.Event:
        """Return the event that is set when there is such work."""
        return self._events[work]

    async def step(self) -> None:
        """Look for all work whose time has come.

        Raises:
            Unavailable: PostgreSQL cannot be asked.
        """
        now = self._clock()
        asked = {
            work
            for work, every_s in self._every_s.items()
            if now - self._asked_at[work] + self.look_every_s / 2 >= every_s
        }
        if not asked:
            return
        self._asked_at |= dict.fromkeys(asked, now)
        asks = {f"asks_{work}": work in asked for work in Work}
        try:
            row = await first(self._engine, _DUE, {**self._values, **asks})
        except Unavailable:
            self._set(asked)
            raise
        there = {work for work in asked if getattr(row, work)}
        self._set(there | (self._was_there & asked))
        self._was_there = (self._was_there - asked) | there

    def _set(self, works: Iterable[Work]) -> None:
        for work in works:
            self._events[work].set()
