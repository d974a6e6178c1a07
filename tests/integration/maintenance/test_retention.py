"""Retention: what is erased when its time is over, and what is never touched."""

import asyncio
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import Dialog, ImageRequest, State
from imagegen.db.engine import connect
from imagegen.db.tables import Delivery, ForgottenImage, SafetyAuditEntry, StrayPrompt
from imagegen.errors import Unavailable
from imagegen.maintenance.image_cleanup import ImageCleanup
from imagegen.maintenance.retention import Retention
from imagegen.maintenance.retention_limits import RetentionLimits
from imagegen.maintenance.retention_parts import RetentionCounts
from tests.support import conversations, newer_version
from tests.support.aged_rows import DAY_S, LIMITS, SAID, AgedData
from tests.support.conversations import Sessions

FOR_EVER = RetentionLimits(context_s=DAY_S, requests_s=None, images_s=None)


@pytest.fixture
async def aged_data(engine: AsyncEngine, sessions: Sessions, tmp_path: Path) -> AgedData:
    await conversations.put_dialog(sessions)
    return AgedData(engine, tmp_path / "снимки")


async def test_what_people_wrote_is_erased_from_an_old_failure(aged_data: AgedData) -> None:
    old = await aged_data.row(State.FAILED, days=1.1, conversation=SAID, scene={"place": "park"})
    young = await aged_data.row(State.FAILED, days=0.9, conversation=SAID)

    await aged_data.retention().step()

    assert (await conversations.row(aged_data.sessions, old)).conversation is None
    assert (await conversations.row(aged_data.sessions, old)).scene == {"place": "park"}
    assert (await conversations.row(aged_data.sessions, young)).conversation == SAID


async def test_what_an_open_request_is_about_stays_however_old_it_is(aged_data: AgedData) -> None:
    request_id = await aged_data.row(State.QUEUED, days=100, conversation=SAID)

    await aged_data.retention().step()

    assert (await conversations.row(aged_data.sessions, request_id)).conversation == SAID


async def test_what_only_a_newer_version_knows_is_not_erased(aged_data: AgedData) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=100)
    is_open = await newer_version.row(
        aged_data.sessions, state=newer_version.OPEN_STATE, dialog_id=77, created_at=long_ago
    )
    of_newer_kind = await newer_version.row(
        aged_data.sessions, kind=newer_version.KIND, state="delivered", finished_at=long_ago
    )
    await newer_version.row(
        aged_data.sessions, state=newer_version.FINAL_STATE, finished_at=long_ago
    )

    await aged_data.retention().erase_all_due()

    assert await aged_data.ids() == {is_open.id, of_newer_kind.id}


async def test_old_requests_go_with_their_deliveries_and_pictures(aged_data: AgedData) -> None:
    old = await aged_data.picture(b"old")
    young = await aged_data.picture(b"young")
    request_id = await aged_data.row(State.DELIVERED, days=91, image=old)
    stays = await aged_data.row(State.DELIVERED, days=2, image=young)
    async with aged_data.sessions.begin() as session:
        await session.execute(insert(Delivery).values(request_id=request_id, attempt=1))

    counts = await aged_data.retention().erase_all_due()

    assert counts == RetentionCounts(requests=1, pictures=1)
    assert await aged_data.ids() == {stays}
    assert (aged_data.file(old).exists(), aged_data.file(young).exists()) == (False, True)
    async with aged_data.sessions() as session:
        assert (await session.execute(select(Delivery.id))).all() == []
        assert (await session.execute(select(ForgottenImage.image))).all() == []


async def test_a_picture_goes_before_its_request(aged_data: AgedData) -> None:
    name = await aged_data.picture()
    request_id = await aged_data.row(State.DELIVERED, days=31, image=name, image_url="https://x")

    counts = await aged_data.retention().erase_all_due()

    assert counts == RetentionCounts(emptied=1, pictures=1)
    row = await conversations.row(aged_data.sessions, request_id)
    assert (row.image, row.image_url) == (None, None)
    assert not aged_data.file(name).exists()


@pytest.mark.parametrize(
    ("state", "days"), [(State.DRAWN, 400), (State.DELIVERING, 0), (State.DELIVERED, 1)]
)
async def test_a_picture_that_another_row_names_stays(
    aged_data: AgedData, state: State, days: float
) -> None:
    name = await aged_data.picture()
    await aged_data.row(State.DELIVERED, days=91, image=name)
    other = await aged_data.row(state, days=days, image=name, dialog_id=1)

    counts = await aged_data.retention().erase_all_due()

    assert counts == RetentionCounts(requests=1)
    assert aged_data.file(name).exists()
    assert (await conversations.row(aged_data.sessions, other)).image == name


async def test_a_picture_that_was_just_stored_again_waits(aged_data: AgedData) -> None:
    name = await aged_data.picture()
    await aged_data.row(State.DELIVERED, days=91, image=name)

    early = await aged_data.retention(settled_s=60).erase_all_due()
    is_still_stored = aged_data.file(name).exists()
    aged_data.age(aged_data.file(name), days=0.1)
    later = await aged_data.retention(settled_s=60).erase_all_due()

    assert (early, is_still_stored) == (RetentionCounts(requests=1), True)
    assert later == RetentionCounts(pictures=1)
    assert not aged_data.file(name).exists()


async def test_without_limits_only_conversations_go(aged_data: AgedData) -> None:
    name = await aged_data.picture(days=5000)
    await aged_data.row(State.DELIVERED, days=5000, image=name)
    await aged_data.row(State.FAILED, days=5000, conversation=SAID)

    counts = await aged_data.retention(FOR_EVER).erase_all_due()

    assert counts == RetentionCounts(contexts=1)
    assert aged_data.file(name).exists()


async def test_requests_go_with_their_dialog(aged_data: AgedData) -> None:
    name = await aged_data.picture()
    prompt_id = uuid4()
    await aged_data.row(State.DELIVERED, dialog_id=7, image=name)
    drawing = await aged_data.row(
        State.DRAWING, dialog_id=7, conversation=SAID, host="gpu-1:8188", prompt_id=prompt_id
    )
    stays = await aged_data.row(State.DELIVERED, dialog_id=1)

    await aged_data.retention(FOR_EVER).step()
    ended = await conversations.row(aged_data.sessions, drawing)
    await aged_data.retention(FOR_EVER).step()

    assert (ended.state, ended.error_code) == (State.CANCELLED, "dialog_gone")
    assert ended.conversation is None
    assert await aged_data.ids() == {stays}
    assert not aged_data.file(name).exists()
    async with aged_data.sessions() as session:
        strays = (await session.execute(select(StrayPrompt.host, StrayPrompt.prompt_id))).all()
    assert strays == [("gpu-1:8188", prompt_id)]


async def test_files_that_no_row_names_go_after_a_day(aged_data: AgedData) -> None:
    named = await aged_data.picture(b"named", days=2)
    lost = await aged_data.picture(b"lost", days=2)
    young = await aged_data.picture(b"young", days=0.9)
    await aged_data.row(State.DRAWN, image=named)
    temporary = aged_data.file(lost).with_name("tmpab12cd_3")
    temporary.write_bytes(b"half a pic")
    foreign = aged_data.store / "ab" / "README.txt"
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("not ours")
    for file in (temporary, foreign):
        aged_data.age(file, days=2)

    counts = await aged_data.retention().erase_all_due()

    assert counts == RetentionCounts(orphans=2)
    assert not aged_data.file(lost).exists()
    assert not temporary.exists()
    assert all(file.exists() for file in (aged_data.file(named), aged_data.file(young), foreign))


async def test_a_rehearsal_counts_what_the_purge_then_erases(aged_data: AgedData) -> None:
    old, shared, orphan = [await aged_data.picture(word, days=2) for word in (b"1", b"2", b"3")]
    await aged_data.row(State.FAILED, days=2, conversation=SAID)
    await aged_data.row(State.FAILED, days=91, conversation=SAID, image=old)
    await aged_data.row(State.DELIVERED, days=31, image=shared)
    await aged_data.row(State.DELIVERED, days=91, image=shared)
    await aged_data.row(State.QUEUED, dialog_id=9)
    tidy = aged_data.retention()

    due = await tidy.count_due()
    before = await aged_data.ids()
    done = await tidy.erase_all_due()
    left = await tidy.count_due()

    assert due == RetentionCounts(
        contexts=1, cancelled=1, requests=3, emptied=1, pictures=2, orphans=1
    )
    assert len(before) == 5
    assert done.requests == due.requests
    assert (done.pictures, done.orphans, done.emptied) == (2, 1, 1)
    assert left.is_nothing
    assert not any(aged_data.file(name).exists() for name in (old, shared, orphan))


async def test_many_workers_erase_everything_once(aged_data: AgedData) -> None:
    names = [await aged_data.picture(str(number).encode()) for number in range(40)]
    for name in names * 2:
        await aged_data.row(State.DELIVERED, days=91, image=name)
    crowd = [aged_data.retention() for _ in range(5)]

    done = await asyncio.gather(*(one.erase_all_due() for one in crowd))
    rest = await aged_data.retention().erase_all_due()

    total = sum([*done, rest], start=RetentionCounts())
    assert (total.requests, total.pictures) == (80, 40)
    assert await aged_data.ids() == set()


async def test_a_request_that_is_being_retried_is_left_alone(aged_data: AgedData) -> None:
    request_id = await aged_data.row(State.FAILED, days=91, conversation=SAID)
    async with aged_data.sessions.begin() as session:
        await session.execute(
            update(ImageRequest).where(ImageRequest.id == request_id).values(state=State.QUEUED)
        )

        during = await aged_data.retention().erase_all_due()
    after = await aged_data.retention().erase_all_due()

    assert (during, after) == (RetentionCounts(), RetentionCounts())
    assert (await conversations.row(aged_data.sessions, request_id)).conversation == SAID


async def test_a_store_that_is_away_loses_no_note(aged_data: AgedData) -> None:
    name = await aged_data.picture()
    await aged_data.row(State.DELIVERED, days=91, image=name)
    aged_data.file(name).unlink()
    aged_data.file(name).mkdir()  # what cannot be unlinked, for root too

    await aged_data.retention().step()

    async with aged_data.sessions() as session:
        assert (await session.execute(select(ForgottenImage.image))).scalars().all() == [name]


async def test_what_takes_too_long_stops_no_other_part(
    aged_data: AgedData, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    forgotten = await aged_data.picture()
    spoken = await aged_data.row(State.FAILED, days=2, conversation=SAID)
    await aged_data.row(State.DELIVERED, days=91)
    await aged_data.note(days=91)
    async with aged_data.sessions.begin() as session:
        await session.execute(insert(ForgottenImage).values(image=forgotten))
    impatient = connect(database_url, command_timeout_s=0.2)
    cleanup = ImageCleanup(impatient, aged_data.images, settled_s=0)
    retention = Retention(impatient, cleanup, LIMITS)

    async with aged_data.engine.begin() as other:
        await other.execute(text("LOCK TABLE dialogs"))
        await retention.step()
    await impatient.dispose()

    assert not aged_data.file(forgotten).exists()
    assert (await conversations.row(aged_data.sessions, spoken)).conversation is None
    async with aged_data.sessions() as session:
        assert (await session.execute(select(SafetyAuditEntry.id))).all() == []
    assert capsys.readouterr().out.count("retention waits") == 1


async def test_a_purge_erases_what_it_can_and_then_says_what_failed(
    aged_data: AgedData, database_url: str
) -> None:
    name = await aged_data.picture()
    lost = await aged_data.picture(b"lost", days=2)
    await aged_data.row(State.DELIVERED, days=31, image=name)
    await aged_data.note(days=91)
    impatient = connect(database_url, command_timeout_s=0.2)
    cleanup = ImageCleanup(impatient, aged_data.images, settled_s=0)

    async with aged_data.engine.begin() as other:
        await other.execute(text("LOCK TABLE safety_audit"))
        with pytest.raises(Unavailable):
            await Retention(impatient, cleanup, LIMITS).erase_all_due()
    await impatient.dispose()

    assert not aged_data.file(name).exists()
    assert not aged_data.file(lost).exists()


async def test_a_dialog_goes_with_its_last_old_request(aged_data: AgedData) -> None:
    for dialog_id in (2, 3):
        await conversations.put_dialog(aged_data.sessions, dialog_id)
    for dialog_id in (1, 2):
        await aged_data.row(State.DELIVERED, days=91, dialog_id=dialog_id)
    stays = await aged_data.row(State.DELIVERED, days=89, dialog_id=2)

    await aged_data.retention().step()

    assert await aged_data.ids() == {stays}
    async with aged_data.sessions() as session:
        assert set((await session.execute(select(Dialog.id))).scalars()) == {2, 3}


async def test_a_dialog_that_goes_on_at_the_same_moment_stays(aged_data: AgedData) -> None:
    old = await aged_data.row(State.DELIVERED, days=91)
    async with aged_data.sessions.begin() as bot:
        await bot.execute(select(Dialog.id).with_for_update(key_share=True))

        await aged_data.retention().step()

    assert old not in await aged_data.ids()
    async with aged_data.sessions() as session:
        assert (await session.execute(select(Dialog.id))).scalars().all() == [1]


async def test_pictures_of_an_earlier_version_are_hidden_from_others(aged_data: AgedData) -> None:
    name = await aged_data.picture()
    await aged_data.row(State.DELIVERED, image=name)
    aged_data.file(name).chmod(0o644)
    retention = aged_data.retention()

    for _ in range(16):  # until all folders of the store were visited
        await retention.step()

    assert stat.S_IMODE(aged_data.file(name).stat().st_mode) == 0o600


async def test_a_note_that_is_being_struck_is_written_again(aged_data: AgedData) -> None:
    name = await aged_data.picture()
    await aged_data.row(State.DELIVERED, days=91, image=name)
    async with aged_data.sessions.begin() as session:
        await session.execute(insert(ForgottenImage).values(image=name))
    async with aged_data.sessions.begin() as striking:
        await striking.execute(select(ForgottenImage).with_for_update())

        erasing = asyncio.create_task(aged_data.retention(settled_s=60).erase_all_due())
        await aged_data.somebody_waits()
        await striking.execute(delete(ForgottenImage))
    await erasing

    async with aged_data.sessions() as session:
        assert (await session.execute(select(ForgottenImage.image))).scalars().all() == [name]


async def test_what_the_screen_found_goes_with_the_age_of_requests(aged_data: AgedData) -> None:
    for days in (91, 89):
        await aged_data.note(days=days)
    tidy = aged_data.retention()

    due = await tidy.count_due()
    done = await tidy.erase_all_due()

    assert (due, done) == (RetentionCounts(notes=1), RetentionCounts(notes=1))
    assert (await tidy.erase_all_due()).is_nothing
