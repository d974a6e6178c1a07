"""Clean-up of images that no row names: it goes on beside files that cannot be erased."""

from pathlib import Path

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import user_erasure
from chatflow_hook.tables import State
from imagegen.db.tables import ForgottenImage
from imagegen.maintenance.image_cleanup import BATCH_SIZE, CleanupCounts, ImageCleanup
from imagegen.requests.claim import ClaimLost
from imagegen.requests.repository import RequestRepository
from imagegen.storage.store import StoredImage, StoreUnavailable
from tests.support import request_steps
from tests.support.aged_rows import AgedData
from tests.support.drawing_plan import PLAN

# More than a statement may have parameters.
MANY = 33_000


@pytest.fixture
def aged_data(engine: AsyncEngine, tmp_path: Path) -> AgedData:
    return AgedData(engine, tmp_path / "снимки")


@pytest.fixture
def cleanup(aged_data: AgedData) -> ImageCleanup:
    return ImageCleanup(aged_data.engine, aged_data.images, settled_s=0)


async def test_a_picture_that_is_stored_for_an_erased_request_is_erased_soon(
    aged_data: AgedData, cleanup: ImageCleanup
) -> None:
    requests = RequestRepository(aged_data.engine)
    request = await request_steps.claimed(requests, await aged_data.row(State.QUEUED))
    request = await requests.start_drawing(request, PLAN, host="gpu-1")
    async with aged_data.engine.begin() as connection:
        await user_erasure.erase(connection, request.user_id)

    name = await aged_data.picture()
    with pytest.raises(ClaimLost):
        await requests.mark_drawn(
            request, StoredImage(name=name, width=8, height=8), url=None, seconds=None
        )

    assert await cleanup.erase_noted() == CleanupCounts(erased=1)
    assert not aged_data.file(name).exists()


async def test_a_file_that_cannot_be_erased_stops_no_other(
    aged_data: AgedData, cleanup: ImageCleanup
) -> None:
    bad = unerasable(aged_data, 0)
    good = [await aged_data.picture(bytes([number])) for number in range(5)]
    await note(aged_data, bad, *good)

    counts = await cleanup.erase_noted()

    assert counts == CleanupCounts(erased=5, left=1)
    assert await noted(aged_data) == {bad}


async def test_many_files_that_cannot_be_erased_do_not_always_come_first(
    aged_data: AgedData, cleanup: ImageCleanup
) -> None:
    await note(aged_data, *(unerasable(aged_data, number) for number in range(BATCH_SIZE)))
    good = await aged_data.picture()
    await note(aged_data, good)

    with pytest.raises(StoreUnavailable):
        await cleanup.erase_noted()
    assert aged_data.file(good).exists()
    with pytest.raises(StoreUnavailable):
        await cleanup.erase_noted()

    assert not aged_data.file(good).exists()
    assert len(await noted(aged_data)) == BATCH_SIZE


async def test_an_orphan_that_cannot_be_erased_stops_no_other(
    aged_data: AgedData, cleanup: ImageCleanup
) -> None:
    folder = "ab"
    aged_data.age(aged_data.file(unerasable(aged_data, 1, folder=folder)), days=2)
    orphans = [f"{folder}{number:062x}.png" for number in range(5)]
    for name in orphans:
        aged_data.file(name).touch()
        aged_data.age(aged_data.file(name), days=2)

    assert await cleanup.erase_orphans(folder) == 5
    assert not any(aged_data.file(name).exists() for name in orphans)


async def test_a_folder_may_have_any_number_of_files(
    aged_data: AgedData, cleanup: ImageCleanup
) -> None:
    names = [f"ab{number:062x}.png" for number in range(MANY)]
    aged_data.file(names[0]).parent.mkdir()
    for name in names:
        aged_data.file(name).touch()
        aged_data.age(aged_data.file(name), days=2)
    await aged_data.row(State.DELIVERED, image=names[0])
    await note(aged_data, names[1])

    orphans = await cleanup.find_orphans("ab")

    assert set(orphans) == set(names[2:])


async def test_any_number_of_pictures_of_one_user_is_erased(
    aged_data: AgedData, cleanup: ImageCleanup
) -> None:
    name = await aged_data.picture()
    await note(aged_data, name)
    absent = [f"{number:064x}.png" for number in range(MANY)]

    assert await cleanup.erase_noted([name, *absent]) == CleanupCounts(erased=1)


def unerasable(aged_data: AgedData, number: int, *, folder: str = "cd") -> str:
    """Put a directory under the name of an image: it cannot be unlinked, by root neither."""
    name = f"{folder}{number:062x}.jpeg"
    aged_data.file(name).mkdir(parents=True)
    return name


async def note(aged_data: AgedData, *names: str) -> None:
    async with aged_data.sessions.begin() as session:
        await session.execute(insert(ForgottenImage), [{"image": name} for name in names])


async def noted(aged_data: AgedData) -> set[str]:
    async with aged_data.sessions() as session:
        return set((await session.execute(select(ForgottenImage.image))).scalars())
