"""Safety notes: what of a text they keep, and that none stays of a user who is erased."""

import asyncio
import hashlib
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import user_erasure
from chatflow_hook.tables import HashSecret, State
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


async def test_a_short_text_cannot_be_guessed_from_its_hash(
    aged_data: AgedData, request_of_anna: ClaimedRequest
) -> None:
    await record(aged_data, request_of_anna)

    assert await hashes(aged_data) != {hashlib.sha256(NEVER.encode()).hexdigest()}


async def test_the_secret_is_made_once_even_by_many_at_a_time(
    aged_data: AgedData, request_of_anna: ClaimedRequest
) -> None:
    await asyncio.gather(
        *(record(aged_data, request_of_anna, stage=f"stage {number}") for number in range(8))
    )

    assert await count(aged_data) == 8
    assert len(await hashes(aged_data)) == 1


async def test_a_secret_of_the_settings_is_not_kept_in_the_database(
    aged_data: AgedData, request_of_anna: ClaimedRequest
) -> None:
    for secret in ("the first secret of two", "another secret of two", "the first secret of two"):
        await record(aged_data, request_of_anna, secret=SecretStr(secret))

    assert len(await hashes(aged_data)) == 2
    async with aged_data.sessions() as session:
        assert (await session.execute(select(HashSecret))).all() == []


async def record(
    aged_data: AgedData,
    request: ClaimedRequest,
    *,
    stage: str = "conversation",
    secret: SecretStr | None = None,
) -> None:
    findings = shared_screen().findings(NEVER, persona="Lina")[:1]
    audit = SafetyAudit(aged_data.engine, hash_secret=secret)
    await audit.record(request, stage, findings, NEVER)


async def hashes(aged_data: AgedData) -> set[str]:
    async with aged_data.sessions() as session:
        return {*(await session.execute(select(SafetyAuditEntry.text_hash))).scalars()}


async def count(aged_data: AgedData) -> int:
    async with aged_data.sessions() as session:
        return (await session.execute(select(func.count(SafetyAuditEntry.id)))).scalar_one()
