"""`imagegen import-celery`: what waits in a Celery service's Redis becomes requests."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from celery import Celery  # type: ignore[import-untyped]
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from imagegen.db import migrations
from imagegen.maintenance.celery_import import CeleryImport
from tests.support import celery_service, command, conversations, schema_dump
from tests.support.celery_service import picture, send
from tests.support.command import CommandResult
from tests.support.conversations import Sessions
from tests.support.shipped_workflows import shipped_workflows

_SCHEMA = (Path(__file__).parents[2] / "support" / "celery_service.sql").read_text("utf-8")


@pytest.fixture
def celery(redis_url: str) -> Iterator[Celery]:
    with celery_service.app(redis_url) as app:
        yield app


async def import_celery(
    database_url: str, redis_url: str, *arguments: str, **variables: str
) -> CommandResult:
    where = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    return await command.run("import-celery", *arguments, **where | variables)


async def _left(redis_url: str) -> int:
    """Return how many of the keys exist that can have a message."""
    async with Redis.from_url(redis_url, db=3) as redis:
        return int(
            await redis.exists("image_generation", "unacked", "unacked_index", "imagegen:importing")
        )


async def why_not(database_url: str, redis_url: str) -> list[str]:
    ended = await import_celery(database_url, redis_url, "--json")
    assert all(entry["request_id"] is None for entry in ended.json)
    return [entry["why"] for entry in ended.json]


async def test_pictures_that_wait_become_requests_once(
    celery: Celery, sessions: Sessions, database_url: str, redis_url: str
) -> None:
    first = await send(celery, picture(1001, prompt="a walk in the rain"))
    second = await send(celery, picture(1002, persona="Lina"), priority=6)
    third = await send(celery, picture(1003), queue="celery")

    ended = await import_celery(database_url, redis_url)
    again = await import_celery(database_url, redis_url)

    assert (ended.code, ended.stderr) == (0, "")
    assert sorted(ended.stdout.splitlines()) == sorted(
        [
            f"{first}: mei for chat 1001",
            f"{second}: Lina for chat 1002",
            f"{third}: mei for chat 1003",
            "3 imported, 0 left where they are",
        ]
    )
    assert again.stdout == "0 imported, 0 left where they are\n"
    row = await conversations.row(sessions, UUID(first))
    assert (row.kind, row.state, row.persona, row.chat_id) == ("asked", "queued", "mei", 1001)
    assert (row.chat_type, row.dialog_id) == ("private", -1001)
    assert row.conversation is not None
    assert row.conversation["prompt"] == "a walk in the rain"
    async with Redis.from_url(redis_url, db=3) as redis:
        assert await redis.exists("image_generation", "image_generation\x06\x166", "celery") == 0
        assert await redis.zcard("arq:queue") == 3


async def test_a_dry_run_tells_and_changes_nothing(
    celery: Celery, sessions: Sessions, database_url: str, redis_url: str
) -> None:
    task = await send(celery, picture(prompt="secret words"))

    ended = await import_celery(database_url, redis_url, "--dry-run")

    assert ended.stdout.splitlines() == [
        f"{task}: mei for chat 1001",
        "1 would be imported, 0 left where they are",
    ]
    assert await conversations.requests_of(sessions, -1001) == []
    async with Redis.from_url(redis_url, db=3) as redis:
        assert await redis.llen("image_generation") == 1


async def test_an_import_without_a_database_loses_nothing_and_the_next_one_goes_on(
    celery: Celery, sessions: Sessions, database_url: str, redis_url: str
) -> None:
    task = await send(celery, picture())

    failed = await import_celery("postgresql://nobody@localhost:1/none", redis_url)
    ended = await import_celery(database_url, redis_url)

    assert (failed.code, failed.stdout) == (2, "")
    assert ended.stdout.splitlines()[0] == f"{task}: mei for chat 1001"
    assert len(await conversations.requests_of(sessions, -1001)) == 1
    assert await _left(redis_url) == 0


async def test_an_import_that_died_after_its_commit_doubles_nothing(
    celery: Celery, sessions: Sessions, database_url: str, redis_url: str
) -> None:
    task = await send(celery, picture())
    async with Redis.from_url(redis_url, db=3) as redis:
        message = await redis.lindex("image_generation", 0)
        await import_celery(database_url, redis_url)
        await redis.lpush("imagegen:importing", message)

    again = await import_celery(database_url, redis_url)

    assert again.stdout.splitlines()[0] == f"{task}: mei for chat 1001, imported before"
    assert len(await conversations.requests_of(sessions, -1001)) == 1
    assert await _left(redis_url) == 0


async def test_a_message_that_a_killed_worker_had_taken_is_imported_if_one_says_so(
    celery: Celery, database_url: str, redis_url: str
) -> None:
    task = await send(celery, picture())
    with celery.connection() as connection:
        taken = await asyncio.to_thread(connection.SimpleQueue("image_generation").get, timeout=5)

        kept = await import_celery(database_url, redis_url)
        ended = await import_celery(database_url, redis_url, "--taken")

        taken.channel.qos._delivered.clear()
    assert kept.stdout.startswith(f"{task}: no, a Celery worker has taken it: ")
    assert ended.stdout.startswith(f"{task}: mei for chat 1001\n")
    assert await _left(redis_url) == 0


@pytest.mark.parametrize("protocol", [1, 2])
async def test_arguments_are_read_by_position_and_by_name(
    redis_url: str, sessions: Sessions, database_url: str, protocol: int
) -> None:
    with celery_service.app(redis_url, task_protocol=protocol) as celery:
        await send(celery, ["ash", 1001], kwargs={"chat_id": -100, "prompt": "a walk"})

    ended = await import_celery(database_url, redis_url)

    assert "ash for chat -100" in ended.stdout
    (row,) = await conversations.requests_of(sessions, -1001)
    assert (row.chat_id, row.chat_type) == (-100, None)


async def test_what_is_no_picture_for_a_chat_stays_and_is_told_why(
    celery: Celery, database_url: str, redis_url: str
) -> None:
    hour = timedelta(hours=1)
    await send(celery, ["mei", "a walk"], task="image_generator.generate_image")
    await send(celery, [1], task="broadcast.send")
    await send(celery, picture(persona="nobody"))
    await send(celery, picture(), expires=datetime.now(UTC) - hour)
    await send(celery, picture(), serializer="pickle")
    for wrong in (
        ["mei", "not a number", 1, "a walk"],
        picture(0),
        picture(2**63),
        picture(7, prompt=" "),
    ):
        await send(celery, wrong)

    whys = await why_not(database_url, redis_url)

    assert whys[:3] == [
        "it names no chat: the bot that asked waited for the result",
        "the task broadcast.send is none of the image service",
        "There is no persona called 'nobody'.",
    ]
    assert whys[3].startswith("it expired at 20")
    assert whys[4:] == [
        "its arguments are application/x-python-serialize and not JSON",
        *["its arguments are not persona_key, user_id, chat_id, prompt"] * 4,
    ]
    async with Redis.from_url(redis_url, db=3) as redis:
        assert await redis.llen("image_generation") == 9


async def test_beside_a_bots_own_dialogs_a_picture_belongs_to_the_users_dialog_with_the_persona(
    celery: Celery, empty_database_url: str, redis_url: str
) -> None:
    await schema_dump.execute(empty_database_url, _SCHEMA)
    await schema_dump.execute(
        empty_database_url,
        "INSERT INTO personas (key) VALUES ('ash');"
        " INSERT INTO dialogs (user_id, persona_id, last_image_generation_at)"
        " VALUES (1001, 2, 7), (1001, 1, 9)",
    )
    await asyncio.to_thread(migrations.upgrade, empty_database_url)
    for arguments in (picture(1001, "ash"), picture(1001, "lina"), picture(4711)):
        await send(celery, arguments)

    ended = await import_celery(empty_database_url, redis_url, "--json")

    async with schema_dump.connected(empty_database_url) as connection:
        rows = await connection.fetch("SELECT persona, dialog_id FROM image_requests ORDER BY 1")
    assert [entry["why"] for entry in ended.json] == [
        None,
        None,
        "its user has no dialog any more",
    ]
    assert [tuple(row) for row in rows] == [("ash", 61), ("lina", 62)]


async def test_lists_of_other_programs_are_left_alone(database_url: str, redis_url: str) -> None:
    async with Redis.from_url(redis_url, db=3) as redis:
        await redis.rpush("tasks", "hello", "[1, 2]", '{"body": 1}', b"\xff")

        ended = await import_celery(database_url, redis_url)

        assert ended.stdout == "0 imported, 0 left where they are\n"
        assert await redis.llen("tasks") == 4


async def test_what_a_celery_worker_takes_in_the_meantime_is_not_imported(
    celery: Celery, engine: AsyncEngine, sessions: Sessions, redis_url: str
) -> None:
    await send(celery, picture(1001))
    await send(celery, picture(1002))
    library = shipped_workflows()
    with celery.connection() as connection:
        queue = connection.SimpleQueue("image_generation")
        async with Redis.from_url(redis_url, db=3) as redis:
            importing = CeleryImport(engine, redis, library).run()
            first = await anext(importing)
            (await asyncio.to_thread(queue.get, timeout=5)).ack()
            second = await anext(importing)

    assert (first.is_new, second.is_new) == (True, False)
    assert second.why == "a Celery worker took it in this moment"
    assert await conversations.requests_of(sessions, -1002) == []


async def test_another_database_is_read_where_it_is_named(
    database_url: str, redis_url: str
) -> None:
    with celery_service.app(redis_url) as celery:
        celery.conf.broker_url = f"{redis_url}/4"
        await send(celery, picture())

    default = await import_celery(database_url, redis_url)
    named = await import_celery(database_url, redis_url, "--redis-db", "4")

    assert default.stdout.startswith("0 imported")
    assert default.stderr == (
        "imagegen: Redis database 3 has no messages of Celery; --redis-db names another one\n"
    )
    assert named.stdout.endswith("1 imported, 0 left where they are\n")


async def test_a_database_that_redis_has_not_is_told_by_the_option(
    database_url: str, redis_url: str
) -> None:
    ended = await import_celery(database_url, redis_url, "--redis-db", "999")

    assert ended.code == 2
    assert ended.stderr.startswith("imagegen: --redis-db: redis://")
    assert ended.stderr.endswith(" has no database 999\n")


async def test_a_redis_that_is_away_is_one_line(database_url: str) -> None:
    ended = await import_celery(database_url, "redis://localhost:1")

    assert (ended.code, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
