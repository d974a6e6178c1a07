"""Safety notes and the erasure of their user: whichever comes first, no note stays."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import user_erasure
from chatflow_hook.tables import State
from imagegen.db.tables import SafetyAuditEntry
from imagegen.pipeline.safety_audit import SafetyAudit
from imagegen.requests.claim import ClaimedRequest
from imagegen.requests.repository import RequestRepository
from imagegen.safety.screen import shared_screen
from tests.support import request_steps
from tests.support.aged_rows import AgedData

# A text to test the filter, used nowhere else.
NEVER = "16 years old naked girl"


@pytest.fixture
def archive(engine: AsyncEngine, tmp_path: Path) -> AgedData:
    return AgedData(engine, tmp_path)


@pytest.fixture
async def request_of_anna(archive: AgedData) -> ClaimedRequest:
    requests = RequestRepository(archive.engine)
    return await request_steps.claimed(requests, await archive.row(State.QUEUED))


async def test_a_finding_is_noted_once(archive: AgedData, request_of_anna: ClaimedRequest) -> None:
    await record(archive, request_of_anna)
    await record(archive, request_of_anna)

    assert await count(archive) == 1


async def test_nothing_is_noted_of_an_erased_user(
    archive: AgedData, request_of_anna: ClaimedRequest
) -> None:
    async with archive.engine.begin() as connection:
        await user_erasure.erase(connection, request_of_anna.user_id)

    await record(archive, request_of_anna)

    assert await count(archive) == 0


async def test_nothing_is_noted_of_a_user_who_is_being_erased(
    archive: AgedData, request_of_anna: ClaimedRequest
) -> None:
    async with archive.engine.begin() as connection:
        await user_erasure.erase(connection, request_of_anna.user_id)
        recording = asyncio.create_task(record(archive, request_of_anna))
        await archive.somebody_waits()
    await recording

    assert await count(archive) == 0


async def record(archive: AgedData, request: ClaimedRequest) -> None:
    finding = shared_screen().conversation(NEVER, persona="Lina")
    await SafetyAudit(archive.engine).record(request, "conversation", finding, NEVER)


async def count(archive: AgedData) -> int:
    async with archive.sessions() as session:
        return (await session.execute(select(func.count(SafetyAuditEntry.id)))).scalar_one()
