"""Retention: how fast old requests are erased, and how long a transaction of it holds its locks."""

import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from imagegen.db.engine import connect
from imagegen.maintenance.retention import EVERY_S
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure
from tests.support.aged_rows import AgedData

NAME = "retention"
_PER_S, _LOCK_S = 2_000, 0.1
# A worker erases rows of a kind for so long in a step.
_STEP_S = 20.0
_STEPS_A_DAY = 86_400 / EVERY_S
_FILL = (
    """
    INSERT INTO dialogs (id, message_count) SELECT g, 40 FROM generate_series(1, $1::integer / 4 + 1) g
    """,
    """
    INSERT INTO image_requests (id, kind, state, dialog_id, user_id, chat_id, persona, message_count,
        image, created_at, queued_at, updated_at, finished_at)
    SELECT gen_random_uuid(), 'automatic', 'delivered', 1 + g / 4, 1 + g / 4, 1 + g / 4, 'lina', 40,
        g || '.png', at, at, at, at
    FROM (SELECT g, now() - interval '91 days' - g * interval '1 s' AS at
          FROM generate_series(1, $1::integer) AS g) AS aged
    """,
    """
    INSERT INTO deliveries (request_id, attempt, outcome)
    SELECT id, 1, 'sent' FROM image_requests LIMIT $1::integer
    """,
)


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Erase requests that are too old, with their deliveries and dialogs, as one step of a worker."""
    count = 4_000 if backends.is_quick else 40_000
    home = await backends.clear(NAME)
    await _fill(backends, count)
    engine = connect(backends.database_url)
    aged_data = AgedData(engine, home / "images")
    with _transactions_s(engine) as transactions_s:
        began = time.monotonic()
        await aged_data.retention(settled_s=86_400).step()
        took_s = time.monotonic() - began
    erased = count - len(await aged_data.ids())
    await engine.dispose()
    yield _figure(erased, took_s, transactions_s)


def _figure(erased: int, took_s: float, transactions_s: Sequence[float]) -> Figure:
    per_s = erased / took_s
    million_a_day = per_s * _STEP_S * _STEPS_A_DAY / 1e6
    return Figure(
        row=NAME,
        name=f"{erased} old requests",
        measured=f"{per_s:.0f}/s ({million_a_day:.0f} million a day and worker), "
        f"longest transaction {1000 * max(transactions_s):.0f} ms",
        target=f"≥ {_PER_S}/s, ≤ {1000 * _LOCK_S:.0f} ms",
        is_reached=per_s >= _PER_S and max(transactions_s) <= _LOCK_S,
        facts={"seconds": took_s, "transactions_s": transactions_s},
    )


async def _fill(backends: BenchmarkServers, count: int) -> None:
    connection = await asyncpg.connect(backends.database_url)
    try:
        for statement in _FILL:
            await connection.execute(statement, count)
        await connection.execute("VACUUM ANALYZE dialogs, image_requests, deliveries")
    finally:
        await connection.close()


@contextmanager
def _transactions_s(engine: AsyncEngine) -> Iterator[list[float]]:
    """Give the list of how long each transaction of the engine takes during the block, in seconds."""
    began_at: dict[Connection, float] = {}
    took_s: list[float] = []

    def on_begin(connection: Connection) -> None:
        began_at[connection] = time.monotonic()

    def on_end(connection: Connection) -> None:
        took_s.append(time.monotonic() - began_at.pop(connection))

    listeners = {"begin": on_begin, "commit": on_end, "rollback": on_end}
    for name, listener in listeners.items():
        event.listen(engine.sync_engine, name, listener)
    try:
        yield took_s
    finally:
        for name, listener in listeners.items():
            event.remove(engine.sync_engine, name, listener)
