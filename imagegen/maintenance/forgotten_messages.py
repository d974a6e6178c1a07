"""Deletes pictures from chats that arrived after everything of their user was erased."""

from typing import Any

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imagegen.db.engine import AnyRow, run_statement
from imagegen.db.tables import ForgottenMessage
from imagegen.delivery.telegram import Telegram
from imagegen.errors import Unavailable

log = structlog.get_logger(__name__)

EVERY_S = 15.0
_BATCH_SIZE = 50
# Telegram lets a bot delete its messages for so long.
_GIVEN_UP_AFTER_S = 172_800.0


class ForgottenMessages:
    """Deletes the messages that the table lists. Several workers may do so at the same time."""

    def __init__(self, engine: AsyncEngine, telegram: Telegram) -> None:
        self._engine = engine
        self._telegram = telegram

    async def step(self) -> None:
        """Go through one batch. Logs an outage and leaves the rest for the next step."""
        try:
            for message in await self._listed():
                is_deleted = await self._telegram.delete(message.chat_id, message.message_id)
                await self._take_off(message)
                log.info("forgotten picture in a chat", is_deleted=is_deleted)
            await self._give_up_old_ones()
        except Unavailable as error:
            log.warning("forgotten pictures stay in their chats", why=error.sentence)

    async def _listed(self) -> list[AnyRow]:
        query = (
            select(ForgottenMessage.chat_id, ForgottenMessage.message_id)
            .order_by(ForgottenMessage.noted_at)
            .limit(_BATCH_SIZE)
        )

        async def step(connection: AsyncConnection) -> list[AnyRow]:
            return list((await connection.execute(query)).all())

        return await run_statement(self._engine, step)

    async def _take_off(self, message: AnyRow) -> None:
        await self._delete_rows(
            ForgottenMessage.chat_id == message.chat_id,
            ForgottenMessage.message_id == message.message_id,
        )

    async def _give_up_old_ones(self) -> None:
        age_s = func.extract("epoch", func.clock_timestamp() - ForgottenMessage.noted_at)
        await self._delete_rows(age_s > _GIVEN_UP_AFTER_S)

    async def _delete_rows(self, *conditions: Any) -> None:
        query = delete(ForgottenMessage).where(*conditions)
        await run_statement(self._engine, lambda connection: connection.execute(query))
