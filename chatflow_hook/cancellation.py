"""Withdrawal: open requests are called off, and whoever works on one stops."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, column, func, table, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chatflow_hook.tables import OPEN, ImageRequest, State
from chatflow_hook.turn import EndReason

CANCELLED = EndReason(code="cancelled", sentence="The picture was called off.")

AnyRow = Row[*tuple[Any, ...]]

# The worker's own table: it takes what is listed there off its host.
_STRAYS = table("stray_prompts", column("prompt_id"), column("host"))


async def cancel(
    connection: AsyncConnection, *which: ColumnElement[bool], why: EndReason = CANCELLED
) -> list[UUID]:
    """End those of the requests that are open, and return their ids; neither commits nor locks more.

    A job that is at one finds that the row has ended and takes its prompt off the host.
    """
    query = (
        update(ImageRequest)
        .where(ImageRequest.state.in_(OPEN), *which)
        .values(
            state=State.CANCELLED,
            conversation=None,
            error_code=why.code,
            error_sentence=why.sentence,
            updated_at=func.clock_timestamp(),
            finished_at=func.clock_timestamp(),
        )
        .returning(ImageRequest.id, ImageRequest.prompt_id, ImageRequest.host, ImageRequest.image)
    )
    rows = (await connection.execute(query)).all()
    await list_strays(connection, rows)
    return [row.id for row in rows]


async def list_strays(connection: AsyncConnection, rows: Iterable[AnyRow]) -> None:
    """List the prompts of these requests, since the job that posted one may be dead."""
    strays = [
        {"prompt_id": row.prompt_id, "host": row.host}
        for row in rows
        if row.prompt_id is not None and row.host is not None and row.image is None
    ]
    if strays:
        await connection.execute(upsert(_STRAYS).on_conflict_do_nothing(), strays)
