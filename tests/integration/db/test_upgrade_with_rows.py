"""The schema of revision 0005, with requests of every kind in every state, under today's worker.

In a rolling deploy the worker may be newer than the schema for a while: then it waits for the
migration and loses nothing.
"""

import asyncio
import io
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from PIL import Image
from structlog.testing import capture_logs

from chatflow_hook.tables import OPEN, Kind, State
from imagegen import image_file
from imagegen.db import migrations
from imagegen.db.engine import connect
from imagegen.storage.filesystem import FilesystemImageStore
from tests.support import conversations, schema_dump
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

LANDED = "0005"
LANDED_KINDS = (Kind.AUTOMATIC, Kind.ASKED, Kind.VARIATION, Kind.COVER)
NEW_COLUMNS = [
    "waiting_claim",
    "told_end",
    "end_leased_until",
    "pressed_on",
    "press_id",
    "hidden_at",
    "reported_at",
    "reported_by",
    "persona_caption",
    "caption_parse_mode",
    "status_message_id",
    "status_is_protected",
    "chat_told_at",
    "traceparent",
    "album_images",
    "album_file_ids",
]
_INSERT_REQUEST = """
    INSERT INTO image_requests (
        id, kind, state, dialog_id, user_id, chat_id, persona, message_count, conversation,
        host, prompt_id, draw, image, width, height, drawn_rating, finished_at, updated_at
    ) VALUES ($1, $2, $3, $4, 7, 7, 'lina', 3, $5, $6, $7, $8, $9, $10, $10, $11, $12,
        now() - interval '1 minute')
"""


async def test_requests_of_every_kind_in_every_state_go_on_after_the_upgrade(
    empty_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    url = empty_database_url
    await asyncio.to_thread(migrations.upgrade, url, LANDED)
    still_open = await _write_rows(url, await _stored_image(tmp_path / "images"))
    before = await _ended(url)

    engine = connect(url)
    sessions = conversations.sessions_of(engine)
    products = ProductFactory(url, redis_url, sessions, tmp_path / "images")
    async with products.start(works=False, request_max_age=0) as product:
        with capture_logs() as log:
            async with product.worker():
                await _until_waits_for_the_migration(log)
                as_it_was = await _states(url)
                await asyncio.to_thread(migrations.upgrade, url)
                await _until_delivered(url, still_open)
    await engine.dispose()

    assert {as_it_was[request_id] for request_id in still_open} == {*OPEN}
    assert await _ended(url, but=still_open) == before
    assert "a fault of ours" not in [line["event"] for line in log]


async def _stored_image(folder: Path) -> str:
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "PNG")
    images = FilesystemImageStore.at(folder.as_uri())
    return (await images.put(image_file.check_and_strip(data.getvalue()))).name


async def _write_rows(url: str, image: str) -> list[UUID]:
    """Write one request of each kind in each state; return the ids of the open ones."""
    still_open = []
    async with schema_dump.connected(url) as connection:
        for dialog_id, (kind, state) in enumerate(itertools.product(LANDED_KINDS, State), start=1):
            request_id = uuid4()
            await connection.execute(
                "INSERT INTO dialogs (id, message_count) VALUES ($1, 3)", dialog_id
            )
            await connection.execute(
                _INSERT_REQUEST, *_values(request_id, kind, state, dialog_id, image)
            )
            if state is State.DELIVERING:
                await connection.execute(
                    "INSERT INTO deliveries (request_id, attempt) VALUES ($1, 1)", request_id
                )
            if state.is_open:
                still_open.append(request_id)
    return still_open


def _values(
    request_id: UUID, kind: Kind, state: State, dialog_id: int, image: str
) -> tuple[Any, ...]:
    is_drawn = state in (State.DRAWN, State.DELIVERING, State.DELIVERED)
    was_posted = is_drawn or state is State.DRAWING
    return (
        request_id,
        kind.value,
        state.value,
        dialog_id,
        '{"text": "hello"}' if state.is_open or state is State.FAILED else None,
        "gone:8188" if was_posted else None,
        uuid4() if was_posted else None,
        int(was_posted),
        image if is_drawn else None,
        8 if is_drawn else None,
        "safe" if is_drawn else None,
        None if state.is_open else datetime.now(UTC),
    )


async def _until_waits_for_the_migration(log: list[Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while "database_not_migrated" not in [line.get("code") for line in log]:  # noqa: ASYNC110 (a plain list)
            await asyncio.sleep(0.02)


async def _until_delivered(url: str, request_ids: list[UUID]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            states = await _states(url)
            if {states[request_id] for request_id in request_ids} == {State.DELIVERED}:
                return
            await asyncio.sleep(0.1)


async def _states(url: str) -> dict[UUID, str]:
    async with schema_dump.connected(url) as connection:
        rows = await connection.fetch("SELECT id, state FROM image_requests")
    return {row["id"]: row["state"] for row in rows}


async def _ended(url: str, *, but: Sequence[UUID] = ()) -> list[str]:
    """Return the rows of the requests that have ended, with the columns of the landed schema."""
    async with schema_dump.connected(url) as connection:
        rows = await connection.fetch(
            "SELECT to_jsonb(r) - $2::text[] AS row"
            " FROM image_requests r WHERE finished_at IS NOT NULL AND id <> ALL($1) ORDER BY id",
            list(but),
            NEW_COLUMNS,
        )
    return [row["row"] for row in rows]
