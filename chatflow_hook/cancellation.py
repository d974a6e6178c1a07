"""Cancels open requests, and lists their prompts so that the worker cancels those too."""

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

# A table of the worker, which cancels the prompts listed there on their hosts.
_STRAYS = table("stray_prompts", column("prompt_id"), column("host"))


async def cancel(
    connection: AsyncConnection, *which: ColumnElement[bool], why: EndReason = CANCELLED
) -> list[UUID]:
    """Cancel the open ones among the requests that match `which`, and return their ids.

    The conversation is erased from their rows. Does not commit, and locks no other row. `why` is
    stored as the reason. A job that works on such a request finds that its row has ended, and
    cancels its prompt.
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
    """Add the prompts of these requests, where no image is stored yet, to those to be cancelled.

    The job that submitted a prompt may not exist any more, so the worker's clean-up does it.
    Does not commit.
    """
    strays = [
        {"prompt_id": row.prompt_id, "host": row.host}
        for row in rows
        if row.prompt_id is not None and row.host is not None and row.image is None
    ]
    if strays:
        await connection.execute(upsert(_STRAYS).on_conflict_do_nothing(), strays)
