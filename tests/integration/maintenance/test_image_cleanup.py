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
def archive(engine: AsyncEngine, tmp_path: Path) -> AgedData:
    return AgedData(engine, tmp_path / "снимки")


@pytest.fixture
def cleanup(archive: AgedData) -> ImageCleanup:
    return ImageCleanup(archive.engine, archive.images, settled_s=0)


async def test_a_picture_that_is_stored_for_an_erased_request_is_erased_soon(
    archive: AgedData, cleanup: ImageCleanup
) -> None:
    requests = RequestRepository(archive.engine)
    request = await request_steps.claimed(requests, await archive.row(State.QUEUED))
    request = await requests.start_drawing(request, PLAN, host="gpu-1")
    async with archive.engine.begin() as connection:
        await user_erasure.erase(connection, request.user_id)

    name = await archive.picture()
    with pytest.raises(ClaimLost):
        await requests.mark_drawn(
            request, StoredImage(name=name, width=8, height=8), url=None, seconds=None
        )

    assert await cleanup.erase_noted() == CleanupCounts(erased=1)
    assert not archive.file(name).exists()


async def test_a_file_that_cannot_be_erased_stops_no_other(
    archive: AgedData, cleanup: ImageCleanup
) -> None:
    bad = unerasable(archive, 0)
    good = [await archive.picture(bytes([number])) for number in range(5)]
    await note(archive, bad, *good)

    counts = await cleanup.erase_noted()

    assert counts == CleanupCounts(erased=5, left=1)
    assert await noted(archive) == {bad}


async def test_many_files_that_cannot_be_erased_do_not_always_come_first(
    archive: AgedData, cleanup: ImageCleanup
) -> None:
    await note(archive, *(unerasable(archive, number) for number in range(BATCH_SIZE)))
    good = await archive.picture()
    await note(archive, good)

    with pytest.raises(StoreUnavailable):
        await cleanup.erase_noted()
    assert archive.file(good).exists()
    with pytest.raises(StoreUnavailable):
        await cleanup.erase_noted()

    assert not archive.file(good).exists()
    assert len(await noted(archive)) == BATCH_SIZE


async def test_an_orphan_that_cannot_be_erased_stops_no_other(
    archive: AgedData, cleanup: ImageCleanup
) -> None:
    folder = "ab"
    archive.age(archive.file(unerasable(archive, 1, folder=folder)), days=2)
    orphans = [f"{folder}{number:062x}.png" for number in range(5)]
    for name in orphans:
        archive.file(name).touch()
        archive.age(archive.file(name), days=2)

    assert await cleanup.erase_orphans(folder) == 5
    assert not any(archive.file(name).exists() for name in orphans)


async def test_a_folder_may_have_any_number_of_files(
    archive: AgedData, cleanup: ImageCleanup
) -> None:
    names = [f"ab{number:062x}.png" for number in range(MANY)]
    archive.file(names[0]).parent.mkdir()
    for name in names:
        archive.file(name).touch()
        archive.age(archive.file(name), days=2)
    await archive.row(State.DELIVERED, image=names[0])
    await note(archive, names[1])

    orphans = await cleanup.orphans("ab")

    assert set(orphans) == set(names[2:])


async def test_any_number_of_pictures_of_one_user_is_erased(
    archive: AgedData, cleanup: ImageCleanup
) -> None:
    name = await archive.picture()
    await note(archive, name)
    absent = [f"{number:064x}.png" for number in range(MANY)]

    assert await cleanup.erase_noted([name, *absent]) == CleanupCounts(erased=1)


def unerasable(archive: AgedData, number: int, *, folder: str = "cd") -> str:
    """Put a directory under the name of an image: it cannot be unlinked, by root neither."""
    name = f"{folder}{number:062x}.jpeg"
    archive.file(name).mkdir(parents=True)
    return name


async def note(archive: AgedData, *names: str) -> None:
    async with archive.sessions.begin() as session:
        await session.execute(insert(ForgottenImage), [{"image": name} for name in names])


async def noted(archive: AgedData) -> set[str]:
    async with archive.sessions() as session:
        return set((await session.execute(select(ForgottenImage.image))).scalars())
