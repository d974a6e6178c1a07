"""Covers: pictures of a persona for the start of a dialog, drawn ahead by the worker."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import cancellation, user_erasure
from chatflow_hook.picture import known_state
from chatflow_hook.tables import NOBODY, OPEN, ImageRequest, Kind, State, is_any_of, is_open
from chatflow_hook.turn import Conversation
from imagegen.db.engine import run_in_transaction

_POLL_EVERY_S = 0.3


@dataclass(frozen=True, kw_only=True)
class Cover:
    """One cover of a persona, its number counted from 0, and the state of its request.

    `why`: the reason for an end without a picture, None if there is none.
    """

    request_id: UUID
    persona: str
    number: int
    state: State
    why: str | None = None


class Covers:
    """Orders covers and waits for them.

    All methods raise Unavailable if PostgreSQL cannot be reached.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def order(self, personas: Sequence[str], count: int) -> Sequence[Cover]:
        """Order the covers that are missing of `count` for each persona, and return those ordered."""

        async def step(connection: AsyncConnection) -> Sequence[Cover]:
            existing = select(ImageRequest.persona, ImageRequest.message_count).where(
                _OURS, or_(ImageRequest.state.in_(OPEN), _IS_DRAWN)
            )
            existing_covers = {
                (persona, number) for persona, number in await connection.execute(existing)
            }
            ordered = [
                Cover(request_id=uuid4(), persona=persona, number=number, state=State.QUEUED)
                for number in range(count)
                for persona in personas
                if (persona, number) not in existing_covers
            ]
            if ordered:
                query = insert(ImageRequest).values(created_at=func.clock_timestamp())
                await connection.execute(query, [_row(cover) for cover in ordered])
            return ordered

        return await run_in_transaction(self._engine, step)

    async def erase(self, personas: Sequence[str]) -> int:
        """Erase the covers of these personas, not the copies sent to users; return how many.

        Prompts of those that are not drawn yet are listed, so that the worker cancels them.
        """

        async def step(connection: AsyncConnection) -> int:
            query = (
                delete(ImageRequest)
                .where(_OURS, is_any_of(ImageRequest.persona, personas))
                .returning(
                    ImageRequest.state,
                    ImageRequest.finished_at,
                    ImageRequest.prompt_id,
                    ImageRequest.host,
                    ImageRequest.image,
                )
            )
            rows = (await connection.execute(query)).all()
            unfinished = [row for row in rows if is_open(row.state, row.finished_at)]
            await cancellation.list_strays(connection, unfinished)
            names = [row.image for row in rows if row.image is not None]
            await user_erasure.note_images(connection, names)
            return len(rows)

        return await run_in_transaction(self._engine, step)

    async def drawn(self, ordered: Sequence[Cover]) -> AsyncIterator[Cover]:
        """Yield each of these covers when its request has ended. Polls, and has no timeout."""
        waiting = {cover.request_id: cover for cover in ordered}
        while waiting:
            for ended in await self._ended(list(waiting)):
                waiting.pop(ended.request_id)
                yield ended
            if waiting:
                await asyncio.sleep(_POLL_EVERY_S)

    async def _ended(self, ids: Sequence[UUID]) -> Sequence[Cover]:
        query = select(
            ImageRequest.id,
            ImageRequest.persona,
            ImageRequest.message_count,
            ImageRequest.state,
            ImageRequest.error_sentence,
        ).where(is_any_of(ImageRequest.id, ids), ImageRequest.finished_at.is_not(None))

        async def step(connection: AsyncConnection) -> Sequence[Cover]:
            return [
                Cover(
                    request_id=id_,
                    persona=persona,
                    number=number,
                    state=known_state(state, is_ended=True),
                    why=why,
                )
                for id_, persona, number, state, why in await connection.execute(query)
            ]

        return await run_in_transaction(self._engine, step)


_OURS: ColumnElement[bool] = and_(ImageRequest.user_id == NOBODY, ImageRequest.kind == Kind.COVER)
_IS_DRAWN: ColumnElement[bool] = and_(
    ImageRequest.state == State.DELIVERED, ImageRequest.image.is_not(None)
)


def _row(cover: Cover) -> dict[str, object]:
    return {
        "id": cover.request_id,
        "kind": Kind.COVER,
        "state": State.QUEUED,
        "dialog_id": NOBODY,
        "user_id": NOBODY,
        "persona": cover.persona,
        "message_count": cover.number,
        "variation": cover.number,
        "conversation": Conversation(text="").model_dump(mode="json"),
    }
