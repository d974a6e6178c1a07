"""What people see of the demo: the messages of each chat, and the progress of each picture."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from redis.asyncio import Redis
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from chatflow_hook import Picture, Request, queue
from chatflow_hook.tables import State

_POLL_INTERVAL_S = 0.2


class ProgressBoard:
    """One line per persona; without a terminal only the ends are printed."""

    def __init__(self, console: Console, redis: Redis, personas: Sequence[str]) -> None:
        self._console = console
        self._redis = redis
        self._personas_by_request: dict[UUID, str] = {}
        self._progress = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[doing]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._lines: dict[str, TaskID] = {
            persona: self._progress.add_task(persona, total=1.0, doing="") for persona in personas
        }

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Show the board while the block runs."""
        with self._progress:
            watcher = asyncio.create_task(self._watch(), name="board")
            try:
                yield
            finally:
                watcher.cancel()
                with suppress(asyncio.CancelledError):
                    await watcher

    def message_sent(self, persona: str, count: int) -> None:
        """Show that a message was written."""
        self._progress.update(self._lines[persona], doing=f"message {count}")

    def triggered(self, persona: str, request: Request) -> None:
        """Show that a picture is due, and follow its progress from now on."""
        self._personas_by_request[request.id] = persona
        self._progress.update(
            self._lines[persona], doing=f"picture due at message {request.message_count}"
        )

    def ended(self, persona: str, picture: Picture) -> None:
        """Show how the picture ended, also without a terminal."""
        is_good = picture.state is State.DELIVERED
        doing = picture.state.value if is_good else f"{picture.state} ({picture.error_code})"
        self._progress.update(self._lines[persona], completed=1.0 if is_good else None, doing=doing)
        if not self._console.is_terminal:
            self._console.print(f"{persona}: {doing}")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_POLL_INTERVAL_S)
            for request_id, persona in list(self._personas_by_request.items()):
                progress = await self._redis.get(queue.progress_key(request_id))
                if progress is not None:
                    self._show(persona, json.loads(progress))

    def _show(self, persona: str, progress: dict[str, object]) -> None:
        share = float(str(progress["share"]))
        self._progress.update(
            self._lines[persona], completed=share, doing=f"drawing on {progress['host']}"
        )


# The user's messages; the prompt of a picture is made from the last one.
LINES: tuple[str, ...] = (
    "Hi! How was your day?",
    "Привет ещё раз, чем занимаешься?",
    "Let's walk through the autumn park, the leaves are golden and the sun is low.",
    "Сижу в маленьком кафе у окна, за стеклом идёт дождь.",
    "I am on the roof terrace, the evening city lights are just coming on.",
)


def demo_line(number: int) -> str:
    """Return the user's message number `number`, counted from 1; the lines repeat."""
    return LINES[(number - 1) % len(LINES)]
