"""Bots with many dialogs: people write, and each message goes through the real hook."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from chatflow_hook import ChatFlowHook, Request, Turn
from chatflow_hook.database import DATABASE_ERRORS
from imagegen.sandbox.demo import progress_board

_PERSONAS = ("ash", "julie", "lina", "marriana", "may", "stacy", "taya", "una")
# After this time a bot cancels its own transaction.
_TRANSACTION_TIMEOUT_S = 4.0
# Telegram delivers some updates twice.
_DUPLICATE_CHANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How many dialogs there are, and the range of seconds between two messages of one."""

    dialogs: int
    between: tuple[float, float]


class Bot:
    """Answers people, and remembers which requests it has committed.

    A turn that it could not commit is no request; one whose commit got no answer may be one.
    """

    def __init__(
        self,
        hook: ChatFlowHook,
        sessions: async_sessionmaker[AsyncSession],
        *,
        pace: Pace,
        seed: int,
    ) -> None:
        # The captions of requests that are known to be committed.
        self.committed: dict[UUID, str] = {}
        self.turns = 0
        self.failed = 0
        self._hook = hook
        self._sessions = sessions
        self._pace = pace
        self._seed = seed
        self._numbers = dict.fromkeys(range(1, pace.dialogs + 1), 0)

    @asynccontextmanager
    async def chatting(self) -> AsyncIterator[None]:
        """Let people write in all dialogs during the block; raises the first error of a dialog."""
        stop = asyncio.Event()
        dialog_tasks = [
            asyncio.create_task(self._write_messages(number, stop), name=f"dialog {number}")
            for number in self._numbers
        ]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*dialog_tasks)

    async def ask_in_all_dialogs(self, messages: int) -> dict[int, UUID | None]:
        """Let people write in all dialogs until a picture is due.

        At most so many messages are needed in each. Twice as many may be written, since a turn finds
        no time on a machine that stands still for a second, and is not counted then.

        Returns the request of each dialog, None if none became due.
        """
        requests = await asyncio.gather(*(self._ask(each, messages) for each in self._numbers))
        return dict(zip(self._numbers, requests, strict=True))

    async def _ask(self, dialog_id: int, messages: int) -> UUID | None:
        for _ in range(2 * messages):
            request = await self._write(self._next_turn(dialog_id))
            if request is not None:
                return request.id
        return None

    async def _write_messages(self, dialog_id: int, stop: asyncio.Event) -> None:
        chance = random.Random(f"{self._seed} dialog {dialog_id}")
        while not await is_set_within(stop, chance.uniform(*self._pace.between)):
            turn = self._next_turn(dialog_id)
            for _ in range(1 + (chance.random() < _DUPLICATE_CHANCE)):
                await self._write(turn)

    def _next_turn(self, dialog_id: int) -> Turn:
        self._numbers[dialog_id] += 1
        return _turn(dialog_id, self._numbers[dialog_id])

    async def _write(self, turn: Turn) -> Request | None:
        """Use the hook in one of both ways: in the bot's own transaction, or without a session."""
        self.turns += 1
        return await (self._with_session if turn.dialog_id % 3 else self._without_session)(turn)

    async def _with_session(self, turn: Turn) -> Request | None:
        try:
            async with asyncio.timeout(_TRANSACTION_TIMEOUT_S), self._sessions.begin() as session:
                request = await self._hook.on_turn(turn, session)
        except DATABASE_ERRORS:
            self.failed += 1
            return None
        self._record_request(turn, request)
        await self._hook.enqueue(request)
        return request

    async def _without_session(self, turn: Turn) -> Request | None:
        request = await self._hook.on_turn(turn)
        self._record_request(turn, request)
        return request

    def _record_request(self, turn: Turn, request: Request | None) -> None:
        # The same message twice gives the same request, which keeps its first caption.
        if request is not None:
            self.committed.setdefault(request.id, turn.caption or "")


def _turn(dialog_id: int, number: int) -> Turn:
    return Turn(
        dialog_id=dialog_id,
        user_id=1000 + dialog_id,
        chat_id=1000 + dialog_id,
        chat_type="private",
        persona=_PERSONAS[dialog_id % len(_PERSONAS)],
        text=progress_board.demo_line(dialog_id + number),
        caption=f"{dialog_id}/{number}",
        reply_to_message_id=1_000_000 + number,
    )


async def is_set_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait so many seconds, or until `stop` is set; returns whether it is."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
