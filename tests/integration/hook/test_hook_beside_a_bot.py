"""The hook and the worker with a bot's own table `dialogs`, of which the bot's columns stay untouched."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chatflow_hook import ChatFlowHook
from imagegen.db import migrations
from imagegen.db.engine import connect
from imagegen.requests.repository import RequestRepository
from tests.support import conversations, request_steps, schema_dump
from tests.support.conversations import turn
from tests.support.patience import PATIENCE_S

_SCHEMA = (Path(__file__).parents[2] / "support" / "foreign_schema.sql").read_text(encoding="utf-8")


@pytest.fixture
async def bots_url(empty_database_url: str) -> str:
    """Give the address of a bot's database with our migrations applied; dialog 9 has 9 messages."""
    await schema_dump.execute(empty_database_url, _SCHEMA)
    await asyncio.to_thread(migrations.upgrade, empty_database_url)
    return empty_database_url


@pytest.fixture
async def hook(bots_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    async with ChatFlowHook(
        conversations.hook_settings(bots_url, redis_url), turn_timeout_s=PATIENCE_S
    ) as hook:
        yield hook


async def dialog(url: str, dialog_id: int = 1) -> tuple[int, int | None]:
    async with schema_dump.connected(url) as connection:
        row = await connection.fetchrow(
            "SELECT message_count, last_image_generation_at FROM dialogs WHERE id = $1", dialog_id
        )
    return row["message_count"], row["last_image_generation_at"]


async def test_a_count_that_the_bot_gives_is_never_written(
    hook: ChatFlowHook, bots_url: str
) -> None:
    for count in (2, 3):
        await hook.on_turn(turn(message_count=count))

    assert await dialog(bots_url) == (1, None)


async def test_beside_the_bots_count_a_dialog_that_begins_anew_gets_new_pictures(
    hook: ChatFlowHook, bots_url: str
) -> None:
    old = [await hook.on_turn(turn(message_count=count)) for count in (1, 2, 3)][-1]
    again = await hook.on_turn(turn(message_count=3))
    await schema_dump.execute(
        bots_url, "UPDATE image_requests SET state = 'expired', finished_at = now()"
    )

    new = [await hook.on_turn(turn(message_count=count)) for count in (1, 2, 3)][-1]

    assert old is not None
    assert again == old
    assert new is not None
    assert new.id != old.id


async def test_without_a_count_the_hook_counts_in_the_bots_column(
    hook: ChatFlowHook, bots_url: str
) -> None:
    for _ in range(2):
        await hook.on_turn(turn())

    assert (await dialog(bots_url))[0] == 3


async def test_a_dialog_that_the_bot_does_not_have_gets_no_row(
    hook: ChatFlowHook, bots_url: str
) -> None:
    assert [await hook.on_turn(turn(dialog_id=5000)) for _ in range(6)] == [None] * 6

    async with schema_dump.connected(bots_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM image_requests") == 0


async def test_the_worker_moves_the_watermark_in_the_bots_table(
    hook: ChatFlowHook, bots_url: str
) -> None:
    engine = connect(bots_url)
    requests = RequestRepository(engine)
    request = await hook.on_turn(turn(message_count=3))
    assert request is not None
    claimed = await request_steps.drawn(requests, request.id)
    await schema_dump.execute(bots_url, "UPDATE dialogs SET message_count = 4 WHERE id = 1")

    await requests.mark_delivered(claimed)

    assert await dialog(bots_url) == (4, 3)
    await engine.dispose()


@pytest.mark.parametrize("column", [0, 1, 2])
async def test_a_column_of_the_bots_that_lags_does_not_hold_the_watermark_back(
    hook: ChatFlowHook, bots_url: str, column: int
) -> None:
    engine = connect(bots_url)
    requests = RequestRepository(engine)
    async with schema_dump.connected(bots_url) as connection:
        await connection.execute("UPDATE dialogs SET message_count = $1 WHERE id = 1", column)
    request = await hook.on_turn(turn(message_count=3))
    assert request is not None
    claimed = await request_steps.drawn(requests, request.id)

    await requests.mark_delivered(claimed)

    assert await dialog(bots_url) == (column, 3)
    await engine.dispose()


async def test_a_dialog_that_begins_anew_under_a_picture_has_its_watermark_in_the_new_life(
    hook: ChatFlowHook, bots_url: str
) -> None:
    engine = connect(bots_url)
    requests = RequestRepository(engine)
    request = await hook.on_turn(turn(message_count=3))
    assert request is not None
    claimed = await request_steps.drawn(requests, request.id)
    assert await hook.on_turn(turn(message_count=1)) is None

    await requests.mark_delivered(claimed)

    assert (await dialog(bots_url))[1] == 1
    second, third = [await hook.on_turn(turn(message_count=count)) for count in (2, 3)]
    assert (second, third) == (None, None), "a picture has just been there"
    await engine.dispose()


async def test_a_bots_message_row_does_not_wait_for_a_turn_under_way(
    hook: ChatFlowHook, bots_url: str
) -> None:
    engine = connect(bots_url)
    async with conversations.sessions_of(engine).begin() as session:
        await hook.on_turn(turn(), session)

        async with asyncio.timeout(5):  # a foreign key to the dialog that the turn has locked
            await schema_dump.execute(
                bots_url, "INSERT INTO messages (dialog_id, role, text) VALUES (1, 'user', 'hi')"
            )
    await engine.dispose()
