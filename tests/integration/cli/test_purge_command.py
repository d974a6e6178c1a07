"""`imagegen purge`, and what the worker erases by itself."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import State
from tests.support import command, conversations
from tests.support.aged_rows import SAID, AgedData
from tests.support.command import Ended
from tests.support.conversations import Sessions
from tests.support.product import PATIENCE_S, ProductFactory


@pytest.fixture
async def archive(engine: AsyncEngine, sessions: Sessions, tmp_path: Path) -> AgedData:
    await conversations.put_dialog(sessions)
    return AgedData(engine, tmp_path / "снимки")


async def a_past(archive: AgedData) -> str:
    """Write an old request with its picture, a failure of the day before yesterday, an orphan."""
    name = await archive.picture(days=91)
    await archive.picture(b"orphan", days=2)
    await archive.row(State.DELIVERED, days=91, image=name)
    await archive.row(State.FAILED, days=2, conversation=SAID)
    return name


async def purge(archive: AgedData, database_url: str, *arguments: str, **variables: str) -> Ended:
    where = {"DATABASE_URL": database_url, "IMAGE_STORE": archive.store.as_uri()}
    return await command.run("purge", *arguments, **where | variables)


async def test_a_rehearsal_erases_nothing(archive: AgedData, database_url: str) -> None:
    name = await a_past(archive)

    ended = await purge(archive, database_url, "--dry-run", "--json")

    assert (ended.code, ended.complained) == (0, "")
    assert ended.told == {
        "dry_run": True,
        "contexts": 1,
        "cancelled": 0,
        "requests": 1,
        "emptied": 0,
        "pictures": 1,
        "orphans": 1,
        "notes": 0,
    }
    assert archive.file(name).exists()
    assert len(await archive.ids()) == 2


async def test_what_is_due_is_erased_at_once(archive: AgedData, database_url: str) -> None:
    name = await a_past(archive)

    ended = await purge(archive, database_url)
    again = await purge(archive, database_url, "--dry-run")

    assert (ended.code, ended.complained) == (0, "")
    assert ended.said.splitlines()[:3] == [
        "erased:",
        "      1 conversations of failed requests",
        "      1 requests, with their deliveries",
    ]
    assert again.said.startswith("would be erased:\n      0 ")
    assert not archive.file(name).exists()
    assert len(await archive.ids()) == 1


async def test_the_limits_are_settings(archive: AgedData, database_url: str) -> None:
    await a_past(archive)

    ended = await purge(
        archive,
        database_url,
        "--json",
        CONTEXT_RETENTION="259200",
        REQUESTS_RETENTION_DAYS="0",
        IMAGES_RETENTION_DAYS="92",
    )

    assert (ended.told["contexts"], ended.told["requests"], ended.told["pictures"]) == (0, 0, 0)


async def test_where_the_store_is_not_nothing_is_purged(
    archive: AgedData, database_url: str
) -> None:
    await a_past(archive)

    ended = await purge(archive, database_url, IMAGE_STORE="file:///нет/такого")

    assert (ended.code, ended.said) == (2, "")
    assert ended.complained == "imagegen: the directory of IMAGE_STORE is not on this machine\n"
    assert len(await archive.ids()) == 2


@pytest.mark.parametrize(
    ("variable", "value", "form"),
    [
        ("REQUESTS_RETENTION_DAYS", "-1", "a number of days, 0 for ever"),
        ("IMAGES_RETENTION_DAYS", "month", "a number of days, 0 for ever"),
        ("CONTEXT_RETENTION", "nan", "a number of seconds, 0 to erase it at once"),
    ],
)
async def test_a_wrong_limit_is_a_sentence(
    archive: AgedData, database_url: str, variable: str, value: str, form: str
) -> None:
    ended = await purge(archive, database_url, **{variable: value})

    assert (ended.code, ended.said) == (2, "")
    assert ended.complained == f"imagegen: {variable}: got '{value}', must be {form}\n"


async def test_a_database_that_is_away_is_a_sentence(
    archive: AgedData, unused_tcp_port: int
) -> None:
    ended = await purge(archive, f"postgresql://u:geheim@127.0.0.1:{unused_tcp_port}/d")

    assert (ended.code, ended.said) == (2, "")
    place = f"postgresql://127.0.0.1:{unused_tcp_port}/d"
    assert ended.complained.startswith(f"imagegen: {place}: ")
    assert ended.complained.count("\n") == 1
    assert "ConnectionRefusedError" in ended.complained


async def test_the_worker_erases_what_is_due(
    archive: AgedData, database_url: str, redis_url: str
) -> None:
    name = await a_past(archive)
    products = ProductFactory(database_url, redis_url, archive.sessions, archive.store)

    async with products.start(), asyncio.timeout(PATIENCE_S):
        while archive.file(name).exists():  # noqa: ASYNC110 (files tell nobody)
            await asyncio.sleep(0.01)

    assert len(await archive.ids()) == 1
