"""A bot that counts the messages of both roles, and had its pictures from another service before."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from structlog.testing import capture_logs

from chatflow_hook import ChatFlowHook, Request
from imagegen.db import migrations
from imagegen.db.engine import connect
from tests.support import conversations, schema_dump
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S

_SCHEMA = (Path(__file__).parents[2] / "support" / "celery_service.sql").read_text("utf-8")
_COUNT_BOTH_MESSAGES = text(
    "UPDATE dialogs SET message_count = coalesce(message_count, 0) + 2"
    " WHERE id = :id RETURNING message_count"
)
_DELIVER_ALL = """
    WITH delivered AS (
        UPDATE image_requests SET state = 'delivered', finished_at = now()
        WHERE state = 'queued' RETURNING dialog_id, message_count
    )
    UPDATE dialogs SET last_image_generation_at = delivered.message_count
    FROM delivered WHERE delivered.dialog_id = dialogs.id
"""
DIALOGS = 60


@pytest.fixture
async def bots_url(empty_database_url: str) -> str:
    """Give the address of the bot's database, with our migrations applied."""
    await schema_dump.execute(empty_database_url, _SCHEMA)
    await asyncio.to_thread(migrations.upgrade, empty_database_url)
    return empty_database_url


@pytest.fixture
async def engine(bots_url: str) -> AsyncIterator[AsyncEngine]:
    engine = connect(bots_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def sessions(engine: AsyncEngine) -> Sessions:
    return conversations.sessions_of(engine)


@pytest.fixture
async def hook(bots_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    settings = conversations.hook_settings(
        bots_url, redis_url, image_trigger_min=3, image_trigger_max=5
    )
    async with ChatFlowHook(settings, chance=random.Random(18), turn_timeout_s=PATIENCE_S) as hook:
        yield hook


async def say(
    hook: ChatFlowHook, sessions: Sessions, dialog_id: int = 1, *, counts_both_roles: bool = True
) -> Request | None:
    """Store a message and its reply as the bot does, and hand the turn over."""
    async with sessions.begin() as session:
        return await say_within(hook, session, dialog_id, counts_both_roles=counts_both_roles)


async def say_within(
    hook: ChatFlowHook, session: AsyncSession, dialog_id: int, *, counts_both_roles: bool = True
) -> Request | None:
    counted = await session.execute(_COUNT_BOTH_MESSAGES, {"id": dialog_id})
    return await hook.on_turn(
        turn(
            dialog_id,
            message_count=counted.scalar_one(),
            counts_both_roles=counts_both_roles,
        ),
        session,
    )


async def set_dialog(bots_url: str, *, count: int, watermark: int | None) -> None:
    async with schema_dump.connected(bots_url) as connection:
        await connection.execute(
            "UPDATE dialogs SET message_count = $1, last_image_generation_at = $2 WHERE id = 1",
            count,
            watermark,
        )


async def watermark(bots_url: str) -> int | None:
    async with schema_dump.connected(bots_url) as connection:
        value: int | None = await connection.fetchval(
            "SELECT last_image_generation_at FROM dialogs WHERE id = 1"
        )
    return value


def _turns_before_the_move(dialog_id: int) -> int:
    return 3 + dialog_id % 13


def _last_picture(dialog_id: int) -> int | None:
    """Return the turn of the service's last picture; it drew at each third one.

    A tenth of the users never had a right to pictures, and a tenth used it up at the first one.
    """
    if dialog_id % 10 == 0:
        return None
    turns = _turns_before_the_move(dialog_id)
    return 3 if dialog_id % 10 == 1 else turns - turns % 3


async def test_dialogs_in_full_flow_keep_their_distances_over_the_move(
    hook: ChatFlowHook, sessions: Sessions, bots_url: str
) -> None:
    dialogs = range(1, DIALOGS + 1)
    pictures = {dialog: _last_picture(dialog) for dialog in dialogs}
    # Each dialog began with a greeting, so that its count is odd after each turn.
    counts = [
        (dialog, 1 + 2 * _turns_before_the_move(dialog), None if at is None else 1 + 2 * at)
        for dialog, at in pictures.items()
    ]
    async with schema_dump.connected(bots_url) as connection:
        await connection.executemany(
            "UPDATE dialogs SET message_count = $2, last_image_generation_at = $3 WHERE id = $1",
            counts,
        )
    distances: list[int] = []
    fired_first, waited_long = 0, set()

    for step in range(1, 7):
        async with sessions.begin() as session:  # one for all, since the test has to be fast
            requests = {dialog: await say_within(hook, session, dialog) for dialog in dialogs}
        await schema_dump.execute(bots_url, _DELIVER_ALL)
        for dialog, request in requests.items():
            now = _turns_before_the_move(dialog) + step
            last = pictures[dialog]
            if last is None and now <= 5:
                last = 0  # a young dialog without a picture
            elif step == 1 and (last is None or now - last > 5):
                waited_long.add(dialog)
                last = pictures[dialog] = now
            assert last is not None
            if request is None:
                assert now - last < 5, f"a picture of dialog {dialog} was lost"
                continue
            distances.append(now - last)
            fired_first += step == 1
            pictures[dialog] = now

    assert set(distances) == {3, 4, 5}
    assert len(waited_long) >= DIALOGS // 10, "dialogs that waited long begin to count"
    assert fired_first <= DIALOGS // 5, "no burst at the first turn"


async def test_the_watermark_of_the_service_before_is_converted_once(
    hook: ChatFlowHook, sessions: Sessions, bots_url: str
) -> None:
    await set_dialog(bots_url, count=41, watermark=37)

    await say(hook, sessions)
    first = await watermark(bots_url)
    await say(hook, sessions)

    assert (first, await watermark(bots_url)) == (18, 18)


async def test_a_turn_that_is_rolled_back_converts_nothing(
    hook: ChatFlowHook, sessions: Sessions, bots_url: str
) -> None:
    await set_dialog(bots_url, count=41, watermark=37)

    async with sessions() as session:
        await hook.on_turn(turn(message_count=43, counts_both_roles=True), session)
        await session.rollback()
    await say(hook, sessions)

    assert await watermark(bots_url) == 18


async def test_the_same_message_twice_is_known_by_the_bots_own_count(
    hook: ChatFlowHook, sessions: Sessions, bots_url: str
) -> None:
    await set_dialog(bots_url, count=40, watermark=32)
    request = await say(hook, sessions)

    again = await hook.on_turn(turn(message_count=42, counts_both_roles=True))

    assert request is not None
    assert (request.message_count, again) == (21, request)


async def test_a_picture_that_is_asked_for_has_the_count_of_one_role(
    hook: ChatFlowHook,
) -> None:
    request = await hook.ask(turn(message_count=41, counts_both_roles=True))

    assert isinstance(request, Request)
    assert request.message_count == 20


async def test_a_count_that_rises_by_two_a_turn_is_told_once(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    with capture_logs() as log:
        for _ in range(12):
            await say(hook, sessions, counts_both_roles=False)

    told = [line for line in log if line["event"] == "message count rises by two a turn"]
    assert [line["dialog_id"] for line in told] == [1]
    assert "counts_both_roles=True" in told[0]["advice"]


async def test_a_counter_that_bot_and_hook_both_write_is_told_once(
    hook: ChatFlowHook, sessions: Sessions
) -> None:
    with capture_logs() as log:
        for _ in range(12):
            async with sessions.begin() as session:
                await session.execute(
                    text("UPDATE dialogs SET message_count = message_count + 1 WHERE id = 1")
                )
                await hook.on_turn(turn(), session)

    told = [line for line in log if line["event"] == "two counters in one column"]
    assert len(told) == 1
    assert "pass message_count" in told[0]["advice"]


async def test_counters_of_one_role_are_no_fault_in_any_number_of_processes(
    hook: ChatFlowHook, sessions: Sessions, bots_url: str, redis_url: str
) -> None:
    settings = conversations.hook_settings(bots_url, redis_url)
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as other:
        with capture_logs() as log:
            for count in range(1, 8):
                await hook.on_turn(turn(message_count=2 * count - 1))
                await other.on_turn(turn(message_count=2 * count))
                await hook.on_turn(turn(2, message_count=None))
                await say(hook, sessions, 3)

    assert {line["event"] for line in log} <= {"picture triggered", "doorbell unheard"}
