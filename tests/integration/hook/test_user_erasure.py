"""Everything of one user is erased, by the bot and by an operator, while the worker works."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook import (
    ChatFlowHook,
    DatabaseFault,
    Forgotten,
    Request,
    SentPhoto,
    safety_memory,
    user_erasure,
)
from chatflow_hook.keyed_hash import read_secret
from chatflow_hook.manual_requests import ManualRequests
from chatflow_hook.queue import flood_wait_key
from chatflow_hook.quota import Quota
from chatflow_hook.tables import Dialog, SafetyMemory, State
from imagegen.db import migrations
from imagegen.db.tables import Delivery, ForgottenImage
from imagegen.delivery.rate_limit import FloodControl
from imagegen.maintenance.image_cleanup import CleanupCounts, ImageCleanup
from tests.support import command, conversations, schema_dump
from tests.support.aged_rows import SAID, AgedData
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

ANNA, BORIS = 1001, 1002
LONG_S = 10.0
# Users 11 to 5010 with a dialog of the same number, one request, one send and one finding.
THOUSANDS_OF_USERS = """
INSERT INTO dialogs (id) SELECT generate_series(11, 5010);
INSERT INTO image_requests (id, kind, state, dialog_id, user_id, persona, message_count)
  SELECT gen_random_uuid(), 'automatic', 'delivered', id, id, 'lina', 3 FROM dialogs WHERE id > 10;
INSERT INTO deliveries (request_id, attempt) SELECT id, 1 FROM image_requests;
INSERT INTO safety_audit (request_id, user_id, stage, verdict, rule, version, text_hash)
  SELECT id, user_id, 'prompt', 'refused', 'violence', '1', '0' FROM image_requests;
ANALYZE
"""
# A scan of a whole index fetches as many rows as one of its table.
ROWS_READ = text(
    "SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)"
    " FROM pg_stat_xact_user_tables"
)


@pytest.fixture
async def aged_data(engine: AsyncEngine, sessions: Sessions, tmp_path: Path) -> AgedData:
    for dialog_id in (1, 2):
        await conversations.put_dialog(sessions, dialog_id)
    return AgedData(engine, tmp_path / "снимки")


@pytest.fixture
async def hook(database_url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    async with ChatFlowHook(
        conversations.hook_settings(database_url, redis_url), turn_timeout_s=PATIENCE_S
    ) as hook:
        yield hook


async def a_life(aged_data: AgedData) -> str:
    """Insert the rows of a user: a delivered photo, a failed request, and one that is being drawn."""
    name = await aged_data.picture(days=1)
    sent = await aged_data.row(
        State.DELIVERED, image=name, host="gpu-1:8188", telegram_file_id="AgAC"
    )
    unsure = await aged_data.row(State.FAILED, conversation=SAID, host="gpu-2:8188")
    await aged_data.row(State.QUEUED, conversation=SAID)
    async with aged_data.sessions.begin() as session:
        await session.execute(
            insert(Delivery),
            [
                {"request_id": sent, "attempt": 1, "outcome": "sent", "message_id": 77},
                {"request_id": unsure, "attempt": 1, "outcome": "unknown", "message_id": None},
            ],
        )
    return name


async def notes(sessions: Sessions) -> list[str]:
    async with sessions() as session:
        return list((await session.execute(select(ForgottenImage.image))).scalars())


async def test_the_hook_erases_rows_and_notes_pictures_for_the_worker(
    aged_data: AgedData, hook: ChatFlowHook
) -> None:
    name = await a_life(aged_data)
    of_boris = await aged_data.row(State.DELIVERED, user_id=BORIS, dialog_id=2)

    forgotten = await hook.forget_user(ANNA)

    assert forgotten == Forgotten(
        requests=3,
        open_requests=1,
        deliveries=2,
        dialogs=1,
        pictures=1,
        photos=(SentPhoto(chat_id=ANNA, message_id=77),),
        unknown_sends=1,
        hosts=("gpu-1:8188", "gpu-2:8188"),
    )
    assert await aged_data.ids() == {of_boris}
    assert aged_data.file(name).exists()
    assert await notes(aged_data.sessions) == [name]
    await aged_data.retention().step()
    assert not aged_data.file(name).exists()
    assert await notes(aged_data.sessions) == []


async def test_a_user_of_whom_nothing_is_kept_is_no_error(hook: ChatFlowHook) -> None:
    forgotten = await hook.forget_user(404)

    assert forgotten.requests == 0


async def test_a_picture_that_another_user_has_too_stays(
    aged_data: AgedData, hook: ChatFlowHook
) -> None:
    name = await aged_data.picture()
    await aged_data.row(State.DELIVERED, image=name)
    await aged_data.row(State.DELIVERED, image=name, user_id=BORIS, dialog_id=2)

    await hook.forget_user(ANNA)
    swept = await ImageCleanup(aged_data.engine, aged_data.images, settled_s=0).erase_noted()

    assert swept == CleanupCounts(kept=1)
    assert aged_data.file(name).exists()


async def test_a_dialog_that_somebody_else_has_requests_in_keeps_its_count(
    aged_data: AgedData, hook: ChatFlowHook
) -> None:
    await aged_data.row(State.DELIVERED, dialog_id=1)
    await aged_data.row(State.DELIVERED, dialog_id=1, user_id=BORIS)
    await aged_data.row(State.DELIVERED, dialog_id=2)

    forgotten = await hook.forget_user(ANNA)

    assert forgotten.dialogs == 1
    async with aged_data.sessions() as session:
        assert (await session.execute(select(Dialog.id))).scalars().all() == [1]


async def test_a_dialog_without_a_picture_is_erased_if_the_bot_names_it(
    aged_data: AgedData, hook: ChatFlowHook
) -> None:
    await aged_data.row(State.DELIVERED, dialog_id=1, user_id=BORIS)
    await hook.on_turn(conversations.turn(dialog_id=3))

    unnamed = await hook.forget_user(ANNA)
    named = await hook.forget_user(ANNA, dialog_ids=[1, 3, 404])

    assert (unnamed.dialogs, named.dialogs) == (0, 1)
    async with aged_data.sessions() as session:
        assert set((await session.execute(select(Dialog.id))).scalars()) == {1, 2}


async def test_a_user_may_have_any_number_of_dialogs_and_requests(
    aged_data: AgedData, hook: ChatFlowHook
) -> None:
    many = "FROM generate_series(11, 33010) n"
    async with aged_data.sessions.begin() as session:
        await session.execute(text(f"INSERT INTO dialogs (id) SELECT n {many}"))
        await session.execute(
            text(
                "INSERT INTO image_requests"
                " (id, kind, state, dialog_id, user_id, persona, message_count)"
                f" SELECT gen_random_uuid(), 'automatic', 'delivered', n, {ANNA}, 'lina', 3 {many}"
            )
        )

    forgotten = await hook.forget_user(ANNA, dialog_ids=range(1, 33_011))

    assert (forgotten.requests, forgotten.dialogs) == (33_000, 33_002)


@pytest.mark.parametrize("dialog_ids", [[], [17, 4711]])
async def test_of_thousands_of_dialogs_and_requests_only_those_of_the_user_are_read(
    aged_data: AgedData, database_url: str, dialog_ids: list[int]
) -> None:
    await schema_dump.execute(database_url, THOUSANDS_OF_USERS)

    async with aged_data.engine.begin() as connection:
        erased = await user_erasure.erase(connection, 4000, dialog_ids=dialog_ids)
        rows_read = dict(map(tuple, await connection.execute(ROWS_READ)))

    assert erased.forgotten.requests == 1
    assert max(rows_read.values()) < 50, rows_read


async def test_a_variation_that_is_requested_at_the_same_moment_is_erased_too(
    aged_data: AgedData, hook: ChatFlowHook
) -> None:
    varied = await aged_data.row(State.DELIVERED, scene={"source": "template"})

    async with aged_data.engine.begin() as bot:
        await ManualRequests(quota=Quota()).vary(bot, varied)
        forgetting = asyncio.create_task(hook.forget_user(ANNA))
        await aged_data.somebody_waits()
    forgotten = await forgetting

    assert forgotten.requests == 2
    assert await aged_data.ids() == set()


async def test_the_pause_of_a_private_chat_is_erased_and_that_of_a_group_stays(
    hook: ChatFlowHook, redis_url: str
) -> None:
    async with Redis.from_url(redis_url, db=4, decode_responses=True) as redis:
        flood_control = FloodControl(redis)
        for chat_id in (ANNA, -77):
            await flood_control.pause(chat_id, seconds=60)

        await hook.forget_user(ANNA)

        assert await redis.keys("*") == [flood_wait_key("-77")]


async def test_a_bots_own_dialogs_are_the_bots(empty_database_url: str, redis_url: str) -> None:
    await schema_dump.execute(
        empty_database_url,
        "CREATE TABLE dialogs (id int PRIMARY KEY, message_count int); INSERT INTO dialogs VALUES (1)",
    )
    await asyncio.to_thread(migrations.upgrade, empty_database_url)
    settings = conversations.hook_settings(empty_database_url, redis_url)
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
        for count in (1, 2, 3):
            request = await hook.on_turn(conversations.turn(message_count=count))
        assert request is not None

        forgotten = await hook.forget_user(ANNA, dialog_ids=[1])

    assert (forgotten.requests, forgotten.dialogs) == (1, 0)
    assert await schema_dump.execute(empty_database_url, "SELECT FROM dialogs") == "SELECT 1"


async def test_live_progress_is_erased_and_who_waits_is_woken(
    aged_data: AgedData, hook: ChatFlowHook, redis_url: str
) -> None:
    request_id = await aged_data.row(State.DRAWING)
    request = Request(id=request_id, dialog_id=1, message_count=3)
    async with Redis.from_url(redis_url, db=4) as redis:
        await redis.set(f"imagegen:live:{request_id}", "{}")

        waiting = asyncio.create_task(hook.wait(request, timeout=PATIENCE_S))
        await hook.forget_user(ANNA)

        with pytest.raises(LookupError):
            await waiting
        assert await redis.keys("*") == []


async def test_with_redis_away_all_the_same(
    aged_data: AgedData, database_url: str, unused_tcp_port: int
) -> None:
    await a_life(aged_data)
    settings = conversations.hook_settings(database_url, f"redis://127.0.0.1:{unused_tcp_port}")

    async with ChatFlowHook(settings) as hook:
        forgotten = await hook.forget_user(ANNA)

    assert forgotten.requests == 3
    assert await aged_data.ids() == set()


async def test_with_the_database_away_the_bot_learns_that_nothing_was_done(
    redis_url: str, unused_tcp_port: int
) -> None:
    away = f"postgresql://u:geheim@127.0.0.1:{unused_tcp_port}/d"
    request = Request(id=uuid4(), dialog_id=1, message_count=3)

    async with ChatFlowHook(conversations.hook_settings(away, redis_url)) as hook:
        with pytest.raises(DatabaseFault, match=r"^the database is away: it refuses the"):
            await hook.forget_user(ANNA)
        with pytest.raises(DatabaseFault, match=r"^the database is away: it refuses the"):
            await hook.cancel(request)


async def test_without_our_tables_the_bot_learns_why(
    empty_database_url: str, redis_url: str
) -> None:
    async with ChatFlowHook(conversations.hook_settings(empty_database_url, redis_url)) as hook:
        with pytest.raises(DatabaseFault, match="run `imagegen migrate`"):
            await hook.forget_user(ANNA)


@pytest.mark.parametrize("act", ["forget", "cancel"])
async def test_what_is_being_drawn_is_taken_off_its_host(
    products: ProductFactory, sessions: Sessions, act: str
) -> None:
    async with products.start(seconds_per_picture=LONG_S) as product:
        [host] = product.hosts
        request = await product.ask()
        await until(lambda: host.posted != [])

        ends = product.hook.forget_user(ANNA) if act == "forget" else product.hook.cancel(request)
        assert await ends
        await until(lambda: host.drawn != [])

    assert [drawn.succeeded for drawn in host.drawn] == [False]
    assert product.telegram.sent == []
    left = await conversations.requests_of(sessions)
    assert [row.state for row in left] == ([] if act == "forget" else [State.CANCELLED])


async def test_a_request_is_called_off_once(aged_data: AgedData, hook: ChatFlowHook) -> None:
    request_id = await aged_data.row(State.QUEUED, conversation=SAID)
    request = Request(id=request_id, dialog_id=1, message_count=3)

    assert await hook.cancel(request)
    assert not await hook.cancel(request)

    picture = await hook.wait(request, timeout=1)
    assert (picture.state, picture.error_code) == (State.CANCELLED, "cancelled")
    assert (await conversations.row(aged_data.sessions, request_id)).conversation is None


async def test_the_command_erases_the_pictures_too(
    aged_data: AgedData, database_url: str, redis_url: str
) -> None:
    name = await a_life(aged_data)
    just_drawn = await aged_data.picture(b"just now")
    await aged_data.row(State.DELIVERED, image=just_drawn)
    where = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}

    text = await command.run("forget", str(ANNA), IMAGE_STORE=aged_data.store.as_uri(), **where)
    again = await command.run("forget", str(ANNA), IMAGE_STORE=aged_data.store.as_uri(), **where)

    assert (text.code, text.stderr) == (0, "")
    assert text.stdout.splitlines() == [
        "erased of user 1001:",
        "  requests: 4, of which open: 1",
        "  deliveries: 2",
        "  dialogs: 1",
        "  pictures: 1, 1 more by the worker within minutes",
        "beyond reach:",
        "  photos in chat 1001 of Telegram: messages 77",
        "  sends that may have arrived, unknown: 1",
        "  files on gpu-1:8188, gpu-2:8188, until ComfyUI empties its temp folder",
        "kept: nothing",
    ]
    assert (again.code, again.stdout) == (0, "nothing of user 1001 is kept\n")
    assert not aged_data.file(name).exists()
    assert await notes(aged_data.sessions) == [just_drawn]


async def test_the_command_says_which_hash_it_keeps_of_whom_it_has_forgotten(
    aged_data: AgedData, database_url: str, redis_url: str
) -> None:
    where = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    until = datetime(2999, 12, 30, 12, tzinfo=UTC)
    async with aged_data.engine.begin() as connection:
        key = safety_memory.user_key(await read_secret(connection, None), ANNA)
        row = {"subject": "user", "key": key, "rule": "minor", "until": until}
        await connection.execute(insert(SafetyMemory).values(row))

    text = await command.run("forget", str(ANNA), **where)
    as_json = await command.run("forget", str(ANNA), "--json", **where)

    assert text.stdout == (
        "there is no request and no dialog of user 1001\n"
        "kept: a keyed hash of the id, until 2999-12-30 12:00 UTC;"
        " before then no age can be confirmed\n"
    )
    assert as_json.json["kept_until"] == until.isoformat()


async def test_the_command_erases_a_dialog_without_a_picture(
    aged_data: AgedData, database_url: str, redis_url: str
) -> None:
    where = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}

    erased = await command.run("forget", str(ANNA), "--dialog", "1", "--dialog", "404", **where)

    assert erased.code == 0
    assert "  dialogs: 1" in erased.stdout.splitlines()
    async with aged_data.sessions() as session:
        assert (await session.execute(select(Dialog.id))).scalars().all() == [2]


async def test_where_the_store_is_not_the_worker_erases_the_pictures(
    aged_data: AgedData, database_url: str
) -> None:
    name = await a_life(aged_data)

    ended = await command.run(
        "forget", str(ANNA), "--json", DATABASE_URL=database_url, IMAGE_STORE="file:///нет/такого"
    )

    assert ended.code == 0
    assert ended.json["erased"] == {
        "requests": 3,
        "open_requests": 1,
        "deliveries": 2,
        "dialogs": 1,
        "pictures": 1,
    }
    assert (ended.json["pictures_erased"], ended.json["pictures_left"]) == (0, 1)
    assert ended.json["beyond_reach"] == {
        "photos": [{"chat_id": ANNA, "message_id": 77}],
        "unknown_sends": 1,
        "hosts": ["gpu-1:8188", "gpu-2:8188"],
    }
    assert await notes(aged_data.sessions) == [name]


@pytest.mark.parametrize("user", ["Анна", "1e9", str(2**63)])
async def test_what_is_no_id_is_explained(user: str, database_url: str) -> None:
    ended = await command.run("forget", user, DATABASE_URL=database_url)

    assert (ended.code, ended.stdout) == (2, "")
    assert "Error: Invalid value for 'USER'" in ended.stderr


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 (the sandbox's account is a plain list)
            await asyncio.sleep(0.01)
