"""docs/examples/paid_pictures.py: it spends a quota once, and tells the model what was sent."""

import asyncio
import runpy
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import ChatFlowHook
from chatflow_hook.ends import EndTimes
from chatflow_hook.tables import ImageRequest, State
from tests.support import conversations
from tests.support.aged_rows import AgedData
from tests.support.patience import PATIENCE_S

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "paid_pictures.py"
TABLES = (
    "CREATE TABLE wallets (user_id bigint PRIMARY KEY, pictures int)",
    "CREATE TABLE messages (id serial, dialog_id bigint, role text, content text)",
    "CREATE TABLE picture_ends (request_id uuid PRIMARY KEY)",
    "INSERT INTO wallets VALUES (1001, 5)",
)


@pytest.fixture
def example() -> dict[str, Any]:
    """Return what the example defines."""
    return runpy.run_path(str(EXAMPLE))


@pytest.fixture
async def rows(engine: AsyncEngine, tmp_path: Path) -> AgedData:
    async with engine.begin() as connection:
        for statement in TABLES:
            await connection.execute(text(statement))
    return AgedData(engine, tmp_path / "images")


async def test_a_picture_that_came_is_paid_once_and_the_model_knows_what_was_sent(
    example: dict[str, Any], rows: AgedData, database_url: str, redis_url: str
) -> None:
    settings = conversations.hook_settings(database_url, redis_url)
    async with (
        ChatFlowHook(settings, turn_timeout_s=PATIENCE_S, end_times=EndTimes(poll_s=0.02)) as hook,
        example["told_of_ends"](hook, rows.sessions),
    ):
        await until(rows, "SELECT count(*) FROM end_listening", 1)
        scene = {"source": "template", "summary": "Lina: park, evening"}
        delivered = await rows.row(State.DELIVERED, scene=scene)
        await rows.row(State.DELIVERED, kind="cover", message_count=0)
        file = await rows.row(State.DELIVERED, kind="file")
        await rows.row(State.FAILED, kind="file", error_code="photo_rejected")
        await rows.row(State.FAILED, kind="asked", error_code="out_of_memory")
        await until(rows, "SELECT count(*) FROM picture_ends", 3)
        async with rows.sessions.begin() as session:  # told once more, as after a crash
            of_this = update(ImageRequest).where(ImageRequest.id.in_((delivered, file)))
            await session.execute(of_this.values(told_end=None))
        await until(rows, "SELECT count(*) FROM image_requests WHERE told_end IS NULL", 0)

    assert await value(rows, "SELECT pictures FROM wallets") == 4
    notes = await value(rows, "SELECT array_agg(content) FROM messages WHERE role = 'system'")
    assert sorted(notes) == [
        "[no photo was sent]",
        "[photo sent: Lina: park, evening]",
        "[photo sent: a picture]",
    ]


async def value(rows: AgedData, query: str) -> Any:
    async with rows.sessions() as session:
        return await session.scalar(text(query))


async def until(rows: AgedData, query: str, expected: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await value(rows, query) == expected:
                return
            await asyncio.sleep(0.01)
