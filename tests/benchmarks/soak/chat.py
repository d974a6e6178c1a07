"""People who write again as soon as their picture has come, through the real hook."""

import asyncio
from uuid import UUID

from chatflow_hook import ChatFlowHook
from imagegen.sandbox.demo import progress_board
from tests.support import conversations

_WAIT_S = 60.0
# After a message without a picture: PostgreSQL is away, or the one before is not over.
_PAUSE_S = 0.3


class Chat:
    """Each dialog has one picture under way at a time; `committed` are captions by request."""

    def __init__(self, hook: ChatFlowHook, *, dialogs: int) -> None:
        self.committed: dict[UUID, str] = {}
        self.pictures = 0
        self._hook = hook
        self._dialogs = dialogs

    async def write(self, pictures: int) -> None:
        """Write in all dialogs until so many pictures have come or ended without one."""
        async with asyncio.TaskGroup() as group:
            for dialog_id in range(1, self._dialogs + 1):
                group.create_task(self._write(dialog_id, pictures), name=f"dialog {dialog_id}")

    async def _write(self, dialog_id: int, pictures: int) -> None:
        number = 0
        while self.pictures < pictures:
            number += 1
            caption = f"{dialog_id}/{number}"
            request = await self._hook.on_turn(
                conversations.turn(
                    dialog_id, progress_board.demo_line(dialog_id + number), caption=caption
                )
            )
            if request is None:
                await asyncio.sleep(_PAUSE_S)
                continue
            self.committed.setdefault(request.id, caption)
            await self._hook.wait(request, timeout=_WAIT_S)
            self.pictures += 1
