"""A database and an image store with rows and files of any age."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import ImageRequest, State
from imagegen.db.tables import SafetyAuditEntry
from imagegen.image_file import ImageFile
from imagegen.maintenance.image_cleanup import ImageCleanup
from imagegen.maintenance.retention import Retention
from imagegen.maintenance.retention_limits import RetentionLimits
from imagegen.storage.filesystem import FilesystemImageStore
from tests.support import conversations
from tests.support.patience import PATIENCE_S

DAY_S = 86_400.0
LIMITS = RetentionLimits(context_s=DAY_S, requests_s=90 * DAY_S, images_s=30 * DAY_S)
SAID = {"text": "Пойдём гулять?"}


class AgedData:
    """A database and an image store with rows and files as old as a test needs."""

    def __init__(self, engine: AsyncEngine, store: Path) -> None:
        self.engine = engine
        self.sessions = conversations.sessions_of(engine)
        self.store = store
        self.images = FilesystemImageStore.at(store.as_uri())

    def retention(self, limits: RetentionLimits = LIMITS, *, settled_s: float = 0.0) -> Retention:
        discarded = ImageCleanup(self.engine, self.images, settled_s=settled_s)
        return Retention(self.engine, discarded, limits)

    async def picture(self, data: bytes = b"a picture", *, days: float = 0) -> str:
        name = (await self.images.put(_picture(data))).name
        self.age(self.file(name), days)
        return name

    async def row(self, state: State, *, days: float = 0, **values: Any) -> UUID:
        """Insert a request that ended (or was last updated) so many days ago."""
        request_id = uuid4()
        ago = func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, days * DAY_S)
        usual = {
            "id": request_id,
            "kind": "automatic",
            "state": state,
            "dialog_id": 1,
            "user_id": 1001,
            "chat_id": 1001,
            "persona": "лина",
            "message_count": 3,
            "created_at": ago,
            "updated_at": ago,
            "finished_at": None if state.is_open else ago,
        }
        async with self.sessions.begin() as session:
            await session.execute(insert(ImageRequest).values(usual | values))
        return request_id

    async def note(self, *, days: float) -> None:
        """Insert a finding of the safety screen of so many days ago."""
        ago = func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, days * DAY_S)
        found = {"stage": "prompt", "verdict": "refused", "rule": "violence", "version": "1"}
        values = {"request_id": uuid4(), "user_id": 1001, "text_hash": "0", "found_at": ago}
        async with self.sessions.begin() as session:
            await session.execute(insert(SafetyAuditEntry).values(found | values))

    async def ids(self) -> set[UUID]:
        async with self.sessions() as session:
            return set((await session.execute(select(ImageRequest.id))).scalars())

    async def somebody_waits(self) -> None:
        """Wait until a transaction waits for a lock."""
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        async with asyncio.timeout(PATIENCE_S):
            while True:
                async with self.sessions() as session:
                    if (await session.execute(waiting)).scalar_one():
                        return
                await asyncio.sleep(0.01)

    def file(self, name: str) -> Path:
        return self.store / name[:2] / name

    @staticmethod
    def age(file: Path, days: float) -> None:
        then = time.time() - days * DAY_S
        os.utime(file, (then, then))


def _picture(data: bytes) -> ImageFile:
    return ImageFile(data=data, format="png", width=8, height=8)
