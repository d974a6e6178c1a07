"""Takes pictures out of chats: hidden ones, and those that arrived after their user was erased."""

from functools import cache
from io import BytesIO
from typing import Any

import structlog
from PIL import Image
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imagegen.db.engine import AnyRow, run_statement
from imagegen.db.tables import ForgottenMessage
from imagegen.delivery.chat_sender import ChatSender
from imagegen.delivery.errors import FloodWait, NotSent, TokenRevoked, ToldLater
from imagegen.errors import Unavailable

log = structlog.get_logger(__name__)

EVERY_S = 15.0
_BATCH_SIZE = 50
# Telegram lets a bot delete its messages for so long.
_GIVEN_UP_AFTER_S = 172_800.0
# Without words, since of an erased user not even the language is known.
_PLACEHOLDER = "🙈"
_PLACEHOLDER_SIZE = (320, 320)


class ForgottenMessages:
    """Deletes the messages that the table lists. Several workers may do so at the same time.

    A message that is too old to be deleted is edited to an empty picture.
    """

    def __init__(self, engine: AsyncEngine, sender: ChatSender) -> None:
        self._engine = engine
        self._sender = sender

    async def step(self) -> None:
        """Go through the list once. Logs an outage and leaves the rest for the next step.

        A message that Telegram does not delete now stays on the list and holds up no other. A chat
        that has a flood wait, or no room for another edit, is left alone until the next step.
        """
        left = 0
        resting_chats: set[int] = set()
        try:
            while messages := await self._listed(skipping=left):
                for message in messages:
                    if not await self._delete(message, resting_chats):
                        left += 1
            await self._give_up_old_ones()
        except Unavailable as error:
            log.warning("forgotten pictures stay in their chats", why=error.sentence)

    async def _delete(self, message: AnyRow, resting_chats: set[int]) -> bool:
        """Delete a message and take it off the list; False if it stays there.

        Raises:
            NotSent, TokenRevoked: Telegram takes no call at all.
            Unavailable: PostgreSQL is away.
        """
        if message.chat_id in resting_chats:
            return False
        try:
            is_deleted = await self._sender.delete(
                message.chat_id, message.message_id
            ) or await self._sender.hide(
                message.chat_id, message.message_id, photo=_placeholder(), caption=_PLACEHOLDER
            )
        except (NotSent, TokenRevoked):
            raise
        except ToldLater:
            resting_chats.add(message.chat_id)
            return False
        except Unavailable as error:
            if isinstance(error, FloodWait):
                resting_chats.add(message.chat_id)
            log.warning("forgotten picture stays in its chat", why=error.sentence)
            return False
        await self._take_off(message)
        log.info("forgotten picture in a chat", is_deleted=is_deleted)
        return True

    async def _listed(self, *, skipping: int) -> list[AnyRow]:
        query = (
            select(ForgottenMessage.chat_id, ForgottenMessage.message_id)
            .order_by(
                ForgottenMessage.noted_at, ForgottenMessage.chat_id, ForgottenMessage.message_id
            )
            .offset(skipping)
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


@cache
def _placeholder() -> bytes:
    file = BytesIO()
    Image.new("RGB", _PLACEHOLDER_SIZE, (128, 128, 128)).save(file, "PNG")
    return file.getvalue()
