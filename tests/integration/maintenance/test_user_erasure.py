"""Nothing of a forgotten user is left: all tables, all Redis keys and the image store are searched."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import Base, State
from imagegen.delivery.rate_limit import FloodControl
from imagegen.maintenance.image_cleanup import ImageCleanup
from imagegen.storage.filesystem import FilesystemImageStore
from tests.conftest import REDIS_DBS
from tests.support import schema_dump
from tests.support.conversations import turn
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, RunningProduct

PAGE = (Path(__file__).parents[3] / "docs" / "privacy.md").read_text()
USER = 700_100_200
DELIVERED, FAILED, REFUSED, SILENT, DRAWING = DIALOGS = range(810_001, 810_006)
SAID, CAPTION = "Пойдём смотреть на маяк?", "Для тебя у моря"
# A text to test the filter, used nowhere else.
NEVER = "16 years old naked girl"


@pytest.fixture
async def redises(redis_url: str) -> AsyncIterator[Sequence[Redis]]:
    redises = [Redis.from_url(redis_url, db=db, decode_responses=True) for db in REDIS_DBS]
    yield redises
    for redis in redises:
        await redis.aclose()


async def test_nothing_of_a_forgotten_user_is_left(
    products: ProductFactory,
    engine: AsyncEngine,
    database_url: str,
    redises: Sequence[Redis],
    tmp_path: Path,
) -> None:
    gate = asyncio.Event()
    gate.set()
    async with products.start(sleep=lambda _: gate.wait()) as product:
        await product.hook.confirm_age(USER, language="ru")
        request_ids = [
            await ended(product, State.DELIVERED, dialog_id=DELIVERED, caption=CAPTION),
            await ended(product, State.FAILED, dialog_id=FAILED, persona="nobody"),
            await ended(product, State.REFUSED, dialog_id=REFUSED, text=NEVER),
        ]
        await say(product, dialog_id=SILENT)
        await FloodControl(redises[1]).pause(USER, seconds=600)
        gate.clear()
        request_ids.append(await drawing(product, redises))
        words = [str(each) for each in (USER, *DIALOGS, *request_ids)] + [SAID, CAPTION]
        before = "\n".join([*await rows(database_url), *await keys_and_values(redises)])

        await product.hook.forget_user(USER, dialog_ids=DIALOGS)
        gate.set()
        await until_nothing_is_found(redises, words)

    store = FilesystemImageStore(tmp_path / "images")
    await ImageCleanup(engine, store, settled_s=0).erase_noted()
    assert [word for word in words if word not in before] == []
    assert found(await rows(database_url), words) == []
    assert [path for path in (tmp_path / "images").rglob("*") if path.is_file()] == []


async def test_the_page_names_every_place_where_something_is_kept(
    products: ProductFactory, redises: Sequence[Redis]
) -> None:
    gate = asyncio.Event()
    async with products.start(sleep=lambda _: gate.wait(), workers_share_hosts=True) as product:
        await drawing(product, redises)
        await FloodControl(redises[1]).pause(USER, seconds=600)
        keys = [key for redis in redises for key in await redis.keys("*")]
        gate.set()

    _, _, kept = PAGE.partition("\n## What is kept\n")
    places = [place.partition("<")[0] for place in re.findall(r"`([^`]+)`", kept)]
    assert {table for table in Base.metadata.tables if table not in places} == set()
    assert [key for key in keys if not key.startswith(tuple(places))] == []


async def ended(product: RunningProduct, state: State, **changes: object) -> object:
    """Have a picture that ends in a state, and return the id of its request."""
    request = await product.ask(**said(**changes))
    picture = await product.hook.wait(request, timeout=PATIENCE_S)
    assert picture.state is state
    return request.id


async def drawing(product: RunningProduct, redises: Sequence[Redis]) -> object:
    """Have a picture that a host draws, with its progress in Redis; return the id of its request."""
    request = await product.ask(**said(dialog_id=DRAWING))
    async with asyncio.timeout(PATIENCE_S):
        while not await redises[1].keys(f"*{request.id}*"):  # noqa: ASYNC110 (Redis tells nobody)
            await asyncio.sleep(0.01)
    return request.id


async def say(product: RunningProduct, **changes: object) -> None:
    """Write one message, for which no picture is due."""
    assert await product.hook.on_turn(turn(**said(**changes))) is None


def said(**changes: object) -> dict[str, Any]:
    return {"user_id": USER, "chat_id": USER, "text": SAID, **changes}


async def rows(database_url: str) -> Sequence[str]:
    """Return all rows of all tables."""
    tables = await schema_dump.rows(database_url)
    assert set(Base.metadata.tables) <= set(tables)
    return [f"{table} {row}" for table, its_rows in tables.items() for row in its_rows]


async def keys_and_values(redises: Sequence[Redis]) -> Sequence[str]:
    """Return all keys of both databases with their values."""
    return [
        f"{key} {await value(redis, key)}" for redis in redises for key in await redis.keys("*")
    ]


async def value(redis: Redis, key: str) -> object:
    if await redis.type(key) == "zset":
        return await redis.zrange(key, 0, -1)
    return await redis.get(key)


def found(lines: Sequence[str], words: Sequence[str]) -> Sequence[str]:
    return [line for line in lines if any(word in line for word in words)]


async def until_nothing_is_found(redises: Sequence[Redis], words: Sequence[str]) -> None:
    """Wait until the job of the erased request has ended, and nothing of it is in Redis."""
    async with asyncio.timeout(PATIENCE_S):
        while found(await keys_and_values(redises), words):  # noqa: ASYNC110 (Redis tells nobody)
            await asyncio.sleep(0.05)
