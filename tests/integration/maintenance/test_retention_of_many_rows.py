"""Retention where more is due than one transaction erases."""

from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import Dialog, ImageRequest
from tests.support.aged_rows import AgedData

_FILL = text(
    """
    INSERT INTO image_requests (id, kind, state, dialog_id, user_id, persona, message_count,
        conversation, image, finished_at)
    SELECT gen_random_uuid(), 'automatic', 'failed', number, 1, 'lina', 1, '{"text": "x"}',
        CASE WHEN has_image THEN number || '.png' END, now() - make_interval(days => age_days)
    FROM (
        SELECT number, CAST(:age_days AS integer) AS age_days,
            CAST(:has_image AS boolean) AS has_image FROM generate_series(1, :count) AS number
    ) AS numbers
    """
)
_DIALOGS = text(
    "INSERT INTO dialogs (id, message_count) SELECT number, 1 FROM generate_series(1, :count) number"
)


@pytest.fixture
def aged_data(engine: AsyncEngine, tmp_path: Path) -> AgedData:
    return AgedData(engine, tmp_path / "images")


async def put_requests(data: AgedData, count: int, *, age_days: int, has_image: bool) -> None:
    values = {"count": count, "age_days": age_days, "has_image": has_image}
    async with data.engine.begin() as connection:
        await connection.execute(_FILL, values)


async def put_dialogs(data: AgedData, count: int) -> None:
    async with data.engine.begin() as connection:
        await connection.execute(_DIALOGS, {"count": count})


async def test_a_step_erases_old_requests_and_their_dialogs_batch_by_batch(
    aged_data: AgedData,
) -> None:
    await put_dialogs(aged_data, 450)
    await put_requests(aged_data, 450, age_days=91, has_image=False)

    await aged_data.retention().step()

    assert await aged_data.ids() == set()
    async with aged_data.sessions() as session:
        assert (await session.execute(select(func.count(Dialog.id)))).scalar_one() == 0


async def test_a_step_empties_requests_batch_by_batch(aged_data: AgedData) -> None:
    await put_dialogs(aged_data, 450)
    await put_requests(aged_data, 450, age_days=31, has_image=True)

    await aged_data.retention().step()

    kept = select(func.count(ImageRequest.image), func.count(ImageRequest.conversation))
    async with aged_data.sessions() as session:
        assert tuple((await session.execute(kept)).one()) == (0, 0)
    assert len(await aged_data.ids()) == 450


async def test_requests_go_with_their_dialogs_however_many_dialogs_there_are(
    aged_data: AgedData,
) -> None:
    await put_dialogs(aged_data, 1100)
    await put_requests(aged_data, 1400, age_days=0, has_image=False)
    retention = aged_data.retention()

    await retention.step()
    left = len(await aged_data.ids())
    # The walk begins anew.
    async with aged_data.engine.begin() as connection:
        await connection.execute(text("DELETE FROM dialogs WHERE id <= 10"))
    await retention.step()

    assert (left, len(await aged_data.ids())) == (1100, 1090)
