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
def aged_data(engine: AsyncEngine, tmp_path: Path) -> AgedData:
    return AgedData(engine, tmp_path)


@pytest.fixture
async def request_of_anna(aged_data: AgedData) -> ClaimedRequest:
    requests = RequestRepository(aged_data.engine)
    return await request_steps.claimed(requests, await aged_data.row(State.QUEUED))


async def test_a_finding_is_noted_once(
    aged_data: AgedData, request_of_anna: ClaimedRequest
) -> None:
    await record(aged_data, request_of_anna)
    await record(aged_data, request_of_anna)

    assert await count(aged_data) == 1


async def test_nothing_is_noted_of_an_erased_user(
    aged_data: AgedData, request_of_anna: ClaimedRequest
) -> None:
    async with aged_data.engine.begin() as connection:
        await user_erasure.erase(connection, request_of_anna.user_id)

    await record(aged_data, request_of_anna)

    assert await count(aged_data) == 0


async def test_nothing_is_noted_of_a_user_who_is_being_erased(
    aged_data: AgedData, request_of_anna: ClaimedRequest
) -> None:
    async with aged_data.engine.begin() as connection:
        await user_erasure.erase(connection, request_of_anna.user_id)
        recording = asyncio.create_task(record(aged_data, request_of_anna))
        await aged_data.somebody_waits()
    await recording

    assert await count(aged_data) == 0


async def record(aged_data: AgedData, request: ClaimedRequest) -> None:
    finding = shared_screen().conversation(NEVER, persona="Lina")
    await SafetyAudit(aged_data.engine).record(request, "conversation", finding, NEVER)


async def count(aged_data: AgedData) -> int:
    async with aged_data.sessions() as session:
        return (await session.execute(select(func.count(SafetyAuditEntry.id)))).scalar_one()
