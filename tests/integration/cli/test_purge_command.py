"""`imagegen purge`, and what the worker erases by itself."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import State
from tests.support import command, conversations
from tests.support.aged_rows import SAID, AgedData
from tests.support.command import CommandResult
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory


@pytest.fixture
async def aged_data(engine: AsyncEngine, sessions: Sessions, tmp_path: Path) -> AgedData:
    await conversations.put_dialog(sessions)
    return AgedData(engine, tmp_path / "снимки")


async def a_past(aged_data: AgedData) -> str:
    """Write an old request with its picture, a failure of the day before yesterday, an orphan."""
    name = await aged_data.picture(days=91)
    await aged_data.picture(b"orphan", days=2)
    await aged_data.row(State.DELIVERED, days=91, image=name)
    await aged_data.row(State.FAILED, days=2, conversation=SAID)
    return name


async def purge(
    aged_data: AgedData, database_url: str, *arguments: str, **variables: str
) -> CommandResult:
    where = {"DATABASE_URL": database_url, "IMAGE_STORE": aged_data.store.as_uri()}
    return await command.run("purge", *arguments, **where | variables)


async def test_a_rehearsal_erases_nothing(aged_data: AgedData, database_url: str) -> None:
    name = await a_past(aged_data)

    ended = await purge(aged_data, database_url, "--dry-run", "--json")

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.json == {
        "dry_run": True,
        "contexts": 1,
        "cancelled": 0,
        "requests": 1,
        "emptied": 0,
        "pictures": 1,
        "orphans": 1,
        "notes": 0,
        "turns": 0,
        "memories": 0,
    }
    assert aged_data.file(name).exists()
    assert len(await aged_data.ids()) == 2


async def test_what_is_due_is_erased_at_once(aged_data: AgedData, database_url: str) -> None:
    name = await a_past(aged_data)

    ended = await purge(aged_data, database_url)
    again = await purge(aged_data, database_url, "--dry-run")

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[:3] == [
        "erased:",
        "      1 conversations of failed requests",
        "      1 requests, with their deliveries",
    ]
    assert again.stdout.startswith("would be erased:\n      0 ")
    assert not aged_data.file(name).exists()
    assert len(await aged_data.ids()) == 1


async def test_the_limits_are_settings(aged_data: AgedData, database_url: str) -> None:
    await a_past(aged_data)

    ended = await purge(
        aged_data,
        database_url,
        "--json",
        CONTEXT_RETENTION="259200",
        REQUESTS_RETENTION_DAYS="0",
        IMAGES_RETENTION_DAYS="92",
    )

    assert (ended.json["contexts"], ended.json["requests"], ended.json["pictures"]) == (0, 0, 0)


async def test_where_the_store_is_not_nothing_is_purged(
    aged_data: AgedData, database_url: str
) -> None:
    await a_past(aged_data)

    ended = await purge(aged_data, database_url, IMAGE_STORE="file:///нет/такого")

    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr == "imagegen: the directory of IMAGE_STORE is not on this machine\n"
    assert len(await aged_data.ids()) == 2


@pytest.mark.parametrize(
    ("variable", "value", "form"),
    [
        ("REQUESTS_RETENTION_DAYS", "-1", "a number of days, 0 for ever"),
        ("IMAGES_RETENTION_DAYS", "month", "a number of days, 0 for ever"),
        ("CONTEXT_RETENTION", "nan", "a number of seconds, 0 to erase it at once"),
    ],
)
async def test_a_wrong_limit_is_a_sentence(
    aged_data: AgedData, database_url: str, variable: str, value: str, form: str
) -> None:
    ended = await purge(aged_data, database_url, **{variable: value})

    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr == f"imagegen: {variable}: got '{value}', must be {form}\n"


async def test_a_database_that_is_away_is_a_sentence(
    aged_data: AgedData, unused_tcp_port: int
) -> None:
    ended = await purge(aged_data, f"postgresql://u:geheim@127.0.0.1:{unused_tcp_port}/d")

    assert (ended.code, ended.stdout) == (2, "")
    place = f"postgresql://127.0.0.1:{unused_tcp_port}/d"
    assert ended.stderr.startswith(f"imagegen: {place}: ")
    assert ended.stderr.count("\n") == 1
    assert "ConnectionRefusedError" in ended.stderr


async def test_the_worker_erases_what_is_due(
    aged_data: AgedData, database_url: str, redis_url: str
) -> None:
    name = await a_past(aged_data)
    products = ProductFactory(database_url, redis_url, aged_data.sessions, aged_data.store)

    async with products.start(), asyncio.timeout(PATIENCE_S):
        while aged_data.file(name).exists():  # noqa: ASYNC110 (files tell nobody)
            await asyncio.sleep(0.01)

    assert len(await aged_data.ids()) == 1
