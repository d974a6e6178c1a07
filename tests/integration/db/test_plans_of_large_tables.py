"""What statements read where there are many requests: by an index, and only what they need."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from asyncpg.connection import LoggedQuery
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import State
from imagegen.delivery.message import SentMessage
from imagegen.maintenance.image_cleanup import ImageCleanup
from imagegen.metrics import HostPrices
from imagegen.monitoring.readings import read_open_requests
from imagegen.monitoring.status.status_queries import StatusQueries
from imagegen.pipeline.image_cache import ImageCache
from imagegen.requests.chat_ends import ChatEnds
from imagegen.requests.costs import Costs
from imagegen.requests.deliveries import Deliveries
from imagegen.requests.queries import RequestFilter, RequestQueries
from imagegen.requests.repository import RequestRepository
from imagegen.storage.store import StoredImage
from tests.support import database_activity, request_steps
from tests.support.aged_rows import AgedData
from tests.support.drawing_plan import PLAN

ROWS = 8_000
# A day has 90 of the rows, and a walk looks at some hundred dialogs at a time.
MOST_READ = 1_500
_TABLES = {"image_requests", "deliveries"}
_FILL = f"""
    INSERT INTO dialogs (id, message_count) SELECT g, 40 FROM generate_series(1, {ROWS // 4}) g;
    INSERT INTO image_requests (
        id, kind, state, dialog_id, user_id, chat_id, persona, message_count, scene, host, image,
        width, height, drawing_seconds, drawn_rating, telegram_message_id, telegram_bot_id,
        telegram_file_id, chat_told_at, told_end, created_at, queued_at, updated_at, finished_at
    )
    SELECT gen_random_uuid(), CASE WHEN g % 4 = 0 THEN 'cover' ELSE 'automatic' END,
        CASE WHEN g % 20 = 7 THEN 'failed' ELSE 'delivered' END, 1 + g / 4, 1 + g / 4, 1 + g / 4,
        'persona' || g % 8, 40, jsonb_build_object('place', repeat('x', 300)), 'gpu:8188',
        CASE WHEN g % 20 = 7 THEN NULL WHEN g % 4 = 0 THEN 'cover.png' ELSE g || '.png' END,
        1, 1, 5, 'safe', g, 42, CASE WHEN g % 20 <> 7 THEN 'file' || g END, at, at, at, at, at, at
    FROM (
        SELECT g, now() - interval '89 days' * (1 - g::float / {ROWS}) AS at
        FROM generate_series(1, {ROWS - 4}) g
    ) AS aged;
    INSERT INTO deliveries (request_id, attempt, outcome)
    SELECT id, 1, 'sent' FROM image_requests WHERE state = 'delivered';
    INSERT INTO image_requests (id, kind, state, dialog_id, user_id, chat_id, persona,
        message_count, updated_at, queued_at)
    SELECT gen_random_uuid(), 'automatic', 'queued', 2 * g, 2 * g, 2 * g, 'persona1', 40,
        now() - interval '1 minute', now() FROM generate_series(1, 50) g
"""  # noqa: S608 (our own number)
_NOTE_IMAGES = """
    INSERT INTO forgotten_images (image, forgotten_at)
    SELECT 'gone' || g || '.png', '2000-01-01' FROM generate_series(1, 200) g
"""


@pytest.fixture
async def many_requests(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(_FILL)
    for table in ("dialogs", *_TABLES):
        await connection.execute(f"VACUUM ANALYZE {table}")
    await connection.close()


@pytest.fixture
async def statements(engine: AsyncEngine) -> AsyncIterator[list[LoggedQuery]]:
    """Give the statements that the engine runs, with their values."""
    await engine.dispose()  # so that its connections are opened during the block
    with database_activity.noted_queries() as queries:
        yield queries


@pytest.mark.usefixtures("many_requests")
async def test_what_runs_all_the_time_reads_only_what_it_needs(
    engine: AsyncEngine, database_url: str, statements: list[LoggedQuery], tmp_path: Path
) -> None:
    aged_data = AgedData(engine, tmp_path / "images")
    repository = RequestRepository(engine)
    day = timedelta(days=1)
    waiting = await repository.find_silent(silent_s=5, after=None, most=10)
    await repository.count_suspects()
    claimed = await repository.claim(waiting[0].request_id)
    assert claimed is not None
    drawing = await repository.start_drawing(claimed, PLAN, host="gpu:8188")
    await repository.mark_drawn(drawing, request_steps.IMAGE, url=None, seconds=1.0)
    send = await Deliveries(engine).start(drawing)
    receipt = SentMessage(chat_id=-100, message_id=7, file_id=None, bot_id=42)
    await repository.mark_delivered(drawing, send=send, receipt=receipt)
    cover = StoredImage(name="cover.png", width=1, height=1)
    await ImageCache(engine, aged_data.images).file_ids(claimed, cover, bot_id=42)
    await ChatEnds(engine).due()
    await Costs(engine, HostPrices()).by("host", day)
    await read_open_requests(engine)
    page = StatusQueries(engine)
    await page.open_requests()
    await page.ended_requests()
    await page.failed_with("out_of_memory", most=50)
    await RequestQueries(engine).failed_since(day)
    async with engine.begin() as connection:
        await connection.execute(text(_NOTE_IMAGES))
    await ImageCleanup(engine, aged_data.images).count_noted()
    await aged_data.retention().step()
    async with engine.begin() as connection:  # since that has erased them
        await connection.execute(text(_NOTE_IMAGES))

    assert len(statements) > 20
    read = await rows_read(database_url, statements)
    assert {sql: rows for sql, rows in read.items() if rows > MOST_READ} == {}


@pytest.mark.usefixtures("many_requests")
async def test_lists_of_operators_read_no_table_from_end_to_end(
    engine: AsyncEngine, database_url: str, statements: list[LoggedQuery]
) -> None:
    queries = RequestQueries(engine)
    for which in (
        RequestFilter(),
        RequestFilter(states=(State.FAILED,)),
        RequestFilter(states=(State.CANCELLED,)),
        RequestFilter(persona="persona1"),
        RequestFilter(persona="nobody"),
        RequestFilter(since=timedelta(days=1)),
        RequestFilter(dialog_id=7),
        RequestFilter(is_reported=True),
    ):
        await queries.listing(which, limit=20)

    assert len(statements) > 10
    # Counting reads the whole index, but not the rows.
    read = await rows_read(database_url, statements, counts_indexes=False)
    assert {sql: rows for sql, rows in read.items() if rows > MOST_READ} == {}


async def rows_read(
    database_url: str, statements: list[LoggedQuery], *, counts_indexes: bool = True
) -> dict[str, int]:
    """Return how many rows of the large tables each statement reads; it changes nothing."""
    connection = await asyncpg.connect(database_url)
    read = {}
    # The values with which each of them ran last.
    for sql, values in {each.query: each.args for each in statements}.items():
        if sql.split()[0] not in {"SELECT", "UPDATE", "DELETE", "WITH"}:
            continue
        transaction = connection.transaction()
        await transaction.start()
        given = values[0] if isinstance(values, list) else values
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *given)
        await transaction.rollback()
        read[sql] = sum(
            _rows_of(node)
            for node in _nodes(json.loads(plan)[0]["Plan"])
            if counts_indexes or node["Node Type"] != "Index Only Scan"
        )
    await connection.close()
    return read


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _rows_of(node: dict[str, Any]) -> int:
    if node.get("Relation Name") not in _TABLES or "Scan" not in node["Node Type"]:
        return 0
    removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    rows: float = node["Actual Rows"] + sum(node.get(name, 0) for name in removed)
    loops: int = node["Actual Loops"]
    return round(rows * loops)
