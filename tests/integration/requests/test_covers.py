"""Covers: drawn ahead by a command, and sent at the start of a dialog."""

import asyncio
import itertools
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import NOBODY, ImageRequest, Kind, State
from chatflow_hook.turn import Rating
from imagegen.db.tables import StrayPrompt
from imagegen.maintenance.image_cleanup import ImageCleanup
from imagegen.maintenance.retention import Retention
from imagegen.maintenance.retention_limits import RetentionLimits
from imagegen.requests.covers import Covers
from imagegen.storage.filesystem import FilesystemImageStore
from tests.support import command, conversations
from tests.support.command import CommandResult
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def place(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "IMAGE_STORE": (tmp_path / "images").as_uri(),
    }


async def covers(place: dict[str, str], *arguments: str) -> CommandResult:
    return await command.run("covers", *arguments, **place)


async def test_covers_are_drawn_once_and_each_is_another(
    products: ProductFactory, place: dict[str, str]
) -> None:
    async with products.start() as product:
        first = await covers(place, "--persona", "lina", "--persona", "may", "--count", "3")
        again = await covers(place, "--persona", "lina", "--count", "3")
        more = await covers(place, "--persona", "lina", "--count", "4")

        assert (first.code, again.code, more.code) == (0, 0, 0)
        assert first.stdout.splitlines()[-1].startswith("6/6 ")
        assert again.stdout == "all covers are there\n"
        assert more.stdout == "1/1 lina 4 delivered\n"
        assert len(product.hosts[0].posted) == 7
        assert len(set(product.prompts())) == 7
        assert product.telegram.sent == []


async def test_a_cover_is_drawn_however_late(
    products: ProductFactory, engine: AsyncEngine, sessions: Sessions
) -> None:
    (cover,) = await Covers(engine).order(["lina"], 1)
    async with sessions.begin() as session:
        await session.execute(update(ImageRequest).values(queued_at=LONG_AGO))
    async with products.start() as product:
        drawn = await product.hook.wait(cover.request_id, timeout=PATIENCE_S)

    assert drawn.state is State.DELIVERED


async def test_a_cover_that_failed_can_be_tried_again(
    products: ProductFactory, place: dict[str, str], engine: AsyncEngine, sessions: Sessions
) -> None:
    (cover,) = await Covers(engine).order(["lina"], 1)
    failed = {"state": State.FAILED, "error_code": "drawing_failed", "finished_at": LONG_AGO}
    async with sessions.begin() as session:
        await session.execute(update(ImageRequest).values(failed))
    retried = await command.run("requests", "retry", str(cover.request_id), **place)
    async with products.start() as product:
        drawn = await product.hook.wait(cover.request_id, timeout=PATIENCE_S)

    assert retried.stdout == f"{cover.request_id}: queued\n"
    assert drawn.state is State.DELIVERED


async def test_ctrl_c_ends_the_command_as_shells_expect_it(
    place: dict[str, str], sessions: Sessions
) -> None:
    arguments = ("covers", "--persona", "lina", "--count", "1")
    process = await asyncio.create_subprocess_exec(
        command.IMAGEGEN,
        *arguments,
        env={"PATH": os.environ["PATH"], **place},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S), sessions() as session:
        while not await session.scalar(select(ImageRequest.id)):  # noqa: ASYNC110 (rows)
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()

    assert (process.returncode, out, err) == (128 + signal.SIGINT, b"", b"")


async def test_a_dialog_begins_with_a_cover_and_never_twice_with_the_same(
    products: ProductFactory, place: dict[str, str], sessions: Sessions
) -> None:
    async with products.start() as product:
        await covers(place, "--persona", "lina", "--count", "2")
        posted = len(product.hosts[0].posted)

        for _ in range(6):
            await _greeted(product)

        shown = [row.image for row in await conversations.requests_of(sessions)]
        assert len(shown) == 6
        assert all(one != other for one, other in itertools.pairwise(shown))
        assert len(product.hosts[0].posted) == posted
        assert len({message.file_id for message in product.telegram.sent}) == 2


async def test_dialogs_of_one_user_that_begin_at_once_begin_with_different_covers(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        await _stocked(sessions, "a", "b")

        async def begin(number: int) -> None:
            # On a busy machine one may wait too long for the nine others, and is not begun then.
            said = turn(number, text="", user_id=9)
            while await product.hook.on_dialog_start(said) is None:
                pass

        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(begin(number) for number in range(10)))

        async with sessions() as session:
            query = select(ImageRequest.image).where(ImageRequest.user_id == 9)
            shown = (await session.execute(query.order_by(ImageRequest.created_at))).scalars().all()
        assert len(shown) == 10
        assert all(one != other for one, other in itertools.pairwise(shown))


async def test_a_cover_that_is_being_erased_is_not_sent(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        await _stocked(sessions, "a")
        async with sessions.begin() as session:
            await session.execute(delete(ImageRequest))
            starting = asyncio.create_task(product.hook.on_dialog_start(turn(text="")))
            await asyncio.wait({starting}, timeout=0.2)

        assert await starting is None


async def test_the_only_cover_is_not_sent_twice_in_a_row(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        await _stocked(sessions, "a")
        first = await product.hook.on_dialog_start(turn(text=""))

        assert first is not None
        assert await product.hook.on_dialog_start(turn(text="")) is None
        assert await product.hook.on_dialog_start(turn(2, text="")) is not None


async def test_a_cover_that_never_came_is_sent_after_all(
    products: ProductFactory, sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        await _stocked(sessions, "a")
        first = await product.hook.on_dialog_start(turn(text=""))
        assert first is not None
        await conversations.end(sessions, first, State.FAILED)

        assert await product.hook.on_dialog_start(turn(text="")) is not None


async def test_forgetting_nobody_is_refused_since_covers_are_nobodys(
    products: ProductFactory, place: dict[str, str], sessions: Sessions
) -> None:
    async with products.start(works=False) as product:
        await _stocked(sessions, "a")

        with pytest.raises(ValueError, match="0 is the id of nobody"):
            await product.hook.forget_user(NOBODY)
        ended = await command.run("forget", "0", **place)

        assert ended.code == 2
        assert "0 is the id of nobody" in ended.stderr
        assert len(await conversations.requests_of(sessions, NOBODY)) == 1


async def test_a_cover_counts_nothing_and_moves_no_watermark(
    products: ProductFactory, place: dict[str, str], sessions: Sessions
) -> None:
    async with products.start() as product:
        await product.hook.on_turn(turn())
        await covers(place, "--persona", "lina", "--count", "1")
        await _greeted(product)

        dialog = await conversations.dialog(sessions)
        assert (dialog.message_count, dialog.last_image_generation_at) == (1, None)


async def test_a_cover_that_one_user_was_sent_goes_to_another_without_upload(
    products: ProductFactory, place: dict[str, str]
) -> None:
    async with products.start() as product:
        await covers(place, "--persona", "lina", "--count", "1")
        await _greeted(product, dialog_id=1)
        await _greeted(product, dialog_id=2)

        first, second = product.telegram.sent
        assert first.file_id == second.file_id
        assert (first.chat_id, second.chat_id) == (1001, 1002)


async def test_without_covers_a_dialog_begins_without_one(products: ProductFactory) -> None:
    async with products.start(works=False) as product:
        assert await product.hook.on_dialog_start(turn(text="")) is None


async def test_without_a_worker_the_command_says_so(
    products: ProductFactory, place: dict[str, str]
) -> None:
    async with products.start(works=False):
        ended = await covers(place, "--persona", "lina", "--count", "1", "--timeout", "0.5")

    assert ended.code == 1
    assert ended.stderr == "imagegen: 1 are not drawn yet: does a worker run?\n"


async def test_an_unknown_persona_is_named(place: dict[str, str]) -> None:
    ended = await covers(place, "--persona", "nobody")

    assert ended.code == 2
    assert ended.stderr == "imagegen: There is no persona called 'nobody'.\n"


async def test_again_draws_them_anew(products: ProductFactory, place: dict[str, str]) -> None:
    async with products.start() as product:
        await covers(place, "--persona", "lina", "--count", "2")
        ended = await covers(place, "--persona", "lina", "--count", "2", "--again")

        assert ended.code == 0
        assert ended.stdout.splitlines()[0] == "erased: 2"
        assert len(product.hosts[0].posted) == 4


async def test_again_takes_prompts_of_covers_that_are_not_drawn_off_their_hosts(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    drawing, failed = await Covers(engine).order(["lina"], 2)
    for cover, prompt, how in (
        (drawing, 7, {"state": State.DRAWING}),
        (failed, 8, {"state": State.FAILED, "finished_at": LONG_AGO}),
    ):
        values = {"prompt_id": UUID(int=prompt), "host": "gpu-1", **how}
        async with sessions.begin() as session:
            this = ImageRequest.id == cover.request_id
            await session.execute(update(ImageRequest).where(this).values(values))

    erased = await Covers(engine).erase(["lina"])

    async with sessions() as session:
        strays = (await session.execute(select(StrayPrompt.prompt_id, StrayPrompt.host))).all()
    assert erased == 2
    assert [tuple(each) for each in strays] == [(UUID(int=7), "gpu-1")]


async def test_covers_stay_however_old_they_are(
    products: ProductFactory,
    place: dict[str, str],
    sessions: Sessions,
    engine: AsyncEngine,
    tmp_path: Path,
) -> None:
    async with products.start() as product:
        await covers(place, "--persona", "lina", "--count", "1")
        await _greeted(product)
    async with sessions.begin() as session:
        long_ago = {"created_at": LONG_AGO, "finished_at": LONG_AGO}
        await session.execute(update(ImageRequest).values(long_ago))
    limits = RetentionLimits(context_s=1.0, requests_s=1.0, images_s=1.0)
    discarded = ImageCleanup(engine, FilesystemImageStore(tmp_path / "images"), settled_s=0.0)

    await Retention(engine, discarded, limits).erase_all_due()

    async with sessions() as session:
        left = (await session.execute(select(ImageRequest))).scalars().all()
    assert [(row.user_id, row.state) for row in left] == [(NOBODY, "delivered")]
    assert await FilesystemImageStore(tmp_path / "images").has(str(left[0].image))


async def test_any_number_of_covers_can_be_ordered(engine: AsyncEngine) -> None:
    personas = [f"persona-{number}" for number in range(150)]

    ordered = await Covers(engine).order(personas, 32)

    assert len(ordered) == 4800
    assert await Covers(engine).order(personas, 32) == []
    assert await Covers(engine).erase(personas) == 4800


async def _stocked(sessions: Sessions, *images: str) -> None:
    """Have covers of lina, without drawing them."""
    async with sessions.begin() as session:
        session.add_all(
            ImageRequest(
                id=uuid4(),
                kind=Kind.COVER,
                state=State.DELIVERED,
                dialog_id=NOBODY,
                user_id=NOBODY,
                persona="lina",
                message_count=number,
                image=image,
                drawn_rating=Rating.SAFE,
            )
            for number, image in enumerate(images)
        )


async def _greeted(product: RunningProduct, **changes: Any) -> None:
    request = await product.hook.on_dialog_start(turn(text="", **changes))
    assert request is not None
    picture = await product.hook.wait(request, timeout=PATIENCE_S)
    assert picture.state is State.DELIVERED
