"""Tells a chat that a request has ended without a picture, in place of its status message."""

from dataclasses import replace
from typing import Literal
from uuid import UUID

import structlog

from chatflow_hook.messages import WITHOUT_PICTURE, Messages
from chatflow_hook.tables import Kind, State
from imagegen.delivery.chat_sender import ChatSender
from imagegen.delivery.errors import (
    AnswerUnknown,
    ChatGone,
    MessageGone,
    OutcomeUnknown,
    PlaceRefused,
)
from imagegen.delivery.message import TextMessage
from imagegen.errors import ImagegenError, Unavailable
from imagegen.requests.chat_ends import ChatEnd, ChatEnds

log = structlog.get_logger(__name__)

EVERY_S = 5.0

ToldEnds = Literal["asked", "all", "off"]


class EndNotices:
    """Tells ends, each once at most. Several workers may do so at the same time.

    `told` is DELIVERY_ENDS: which kinds of requests say that they have ended without a picture.
    """

    def __init__(
        self, ends: ChatEnds, sender: ChatSender, words: Messages, *, told: ToldEnds = "asked"
    ) -> None:
        self._ends = ends
        self._sender = sender
        self._words = words
        self._told = told

    async def step(self) -> None:
        """Tell the ends that no job has told: requests that were cancelled, or whose job died.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        for request_id in await self._ends.due():
            await self.tell(request_id)

    async def tell(self, request_id: UUID) -> None:
        """Tell the end of a request now, or leave it to a later step. Never raises an error.

        Nothing happens if it has not ended, or its chat was told.
        """
        try:
            end = await self._ends.take(request_id)
            if end is None:
                return
            try:
                await self._tell(end)
            except Unavailable as error:
                log.info("end is told later", code=error.code, why=error.sentence)
                await self._ends.give_back(request_id)
        except ImagegenError as error:
            log.info("end is not told", code=error.code, why=error.sentence)

    async def _tell(self, end: ChatEnd) -> None:
        """Tell an end. Raises Unavailable only where nobody has been told, or where it may be repeated."""
        if not self._is_told(end):
            await self._remove_status(end)
            return
        text = self._text(end)
        if end.chat_id < 0 and await self._tell_asker_alone(end, text):
            try:
                await self._remove_status(end)
            except Unavailable as error:
                log.info("status message stays", code=error.code, why=error.sentence)
            return
        if end.status is not None:
            try:
                await self._sender.edit_text(text, end.status.message_id, is_end=True)
            except MessageGone:
                # Somebody has deleted it, or it shows a preview.
                await self._remove_status(end)
            else:
                return
        # Who cancels a request knows it.
        if end.state is not State.CANCELLED:
            await self._send(text)

    def _is_told(self, end: ChatEnd) -> bool:
        if end.state not in WITHOUT_PICTURE or self._told == "off":
            return False
        kind = Kind(end.kind) if end.kind in set(Kind) else None
        if kind is not None and (kind.is_asked_by_person or kind.is_document):
            return True
        # An automatic one is cancelled by who needs no word of it, or gives way to one that was asked for.
        return self._told == "all" and end.state is not State.CANCELLED

    def _text(self, end: ChatEnd) -> TextMessage:
        return TextMessage(
            chat_id=end.chat_id,
            text=self._words.sentence(end.state, code=end.error_code, language=end.language),
            reply_to_message_id=end.reply_to_message_id,
            message_thread_id=end.message_thread_id,
        )

    async def _tell_asker_alone(self, end: ChatEnd, text: TextMessage) -> bool:
        """Tell one member of a group; return False if Telegram does not let the bot do that."""
        try:
            await self._send(replace(text, receiver_user_id=end.user_id))
        except (AnswerUnknown, PlaceRefused, ChatGone) as error:
            log.info("end is told to the whole group", why=error.sentence)
            return False
        return True

    async def _send(self, text: TextMessage) -> None:
        """Send a message; one that may have arrived counts as sent, or it could be there twice."""
        try:
            await self._sender.send_text(text, is_end=True)
        except OutcomeUnknown as error:
            log.info("end may not be told", code=error.code, why=error.sentence)

    async def _remove_status(self, end: ChatEnd) -> None:
        if end.status is not None:
            await self._sender.delete(end.chat_id, end.status.message_id)
