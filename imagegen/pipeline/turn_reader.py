"""Reads the turns that the hook has noted, and remembers who said to be under 18.

The hook only takes a cheap look at each message; what may speak of a minor is read here by the screen:
within seconds, and before a picture of this user or dialog is drawn or sent.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog
from pydantic import SecretStr
from sqlalchemy import Select, and_, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import age_confirmation, quota, safety_memory
from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.keyed_hash import read_secret
from chatflow_hook.tables import NOBODY, ImageRequest, UnreadTurn, is_any_of
from chatflow_hook.turn import MAX_MESSAGES, Conversation, Message
from imagegen.db.engine import AnyRow, all_rows, one_or_none, run_in_transaction, run_statement
from imagegen.requests.claim import ClaimedRequest
from imagegen.safety.screen import VERSION, Finding, Screen, ScreenVerdict, Subject

log = structlog.get_logger(__name__)

EVERY_S = 2.0
# Conversations that one step reads; the others wait for the next.
_BATCH_SIZE = 50
_IS_UNREAD = UnreadTurn.read_at.is_(None)
_MAY_BE_ANSWERED = UnreadTurn.noted_at > func.clock_timestamp() - safety_memory.ANSWERED_WITHIN
_HAS_HISTORY = UnreadTurn.conversation["history"] != literal([], JSONB)
_UNREAD = select(UnreadTurn.dialog_id, UnreadTurn.user_id).where(_IS_UNREAD).distinct()
_UNREAD_BATCH = DirectQuery(_UNREAD.limit(_BATCH_SIZE))
_TURN = (
    UnreadTurn.id,
    UnreadTurn.user_id,
    UnreadTurn.message_count,
    UnreadTurn.conversation,
    UnreadTurn.read_at,
)
# Somebody's words that the screen cannot read may be about a minor.
_UNREADABLE = Finding(verdict=ScreenVerdict.SAFE_ONLY, rule="unread", subject=Subject.PERSONA)


class TurnReader:
    """Learns from turns and from requests. Several workers may read the same turn: one learns.

    `hash_secret` is HASH_SECRET, None if the database keeps the secret.
    """

    def __init__(
        self, engine: AsyncEngine, screen: Screen, *, hash_secret: SecretStr | None = None
    ) -> None:
        self._engine = engine
        self._screen = screen
        self._hash_secret = hash_secret

    async def step(self) -> None:
        """Read what was noted, of fifty conversations at most.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        for whose in await all_rows(self._engine, _UNREAD_BATCH):
            await self._read(whose)

    async def catch_up(self, request_id: UUID) -> None:
        """Read all that was noted of the user and the dialog of a request.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        of_request = select(ImageRequest.id).where(
            ImageRequest.id == request_id,
            or_(
                ImageRequest.user_id == UnreadTurn.user_id,
                ImageRequest.dialog_id == UnreadTurn.dialog_id,
            ),
        )
        while unread := await self._rows(_UNREAD.where(of_request.exists())):
            for whose in unread:
                await self._read(whose)

    async def learn(self, request: ClaimedRequest, findings: Iterable[Finding]) -> None:
        """Remember what the screen has found in the conversation of a request.

        Nothing is remembered of a request that was erased.

        Raises:
            Unavailable: PostgreSQL is away.
            ConversationUnreadable: only a newer worker can read the conversation.
        """
        learnt = _by_subject(findings)
        if Subject.USER in learnt and request.chat_id not in (None, request.user_id):
            # In a group the history may be what others wrote.
            own_words = _messages(request.talk.model_copy(update={"history": ()}))
            if Subject.USER not in _by_subject(await self._findings(own_words)):
                del learnt[Subject.USER]
        if not learnt or request.user_id == NOBODY:
            return
        lock = (
            select(ImageRequest.id)
            .where(ImageRequest.id == request.id)
            .with_for_update(read=True, key_share=True)
        )

        async def step(connection: AsyncConnection) -> None:
            # The lock makes who erases the user wait, and then see what was learnt.
            if await one_or_none(connection, lock) is not None:
                await self._remember(connection, learnt, request, dialog_id=request.dialog_id)

        await run_in_transaction(self._engine, step)

    async def _read(self, whose: AnyRow) -> None:
        """Read the turns of a user in a dialog together; learn, and erase them or mark them as read."""
        turns = await self._rows(
            select(*_TURN)
            .where(
                UnreadTurn.user_id == whose.user_id,
                UnreadTurn.dialog_id.is_not_distinct_from(whose.dialog_id),
                or_(_IS_UNREAD, _MAY_BE_ANSWERED),
            )
            .order_by(UnreadTurn.noted_at)
        )
        unread_ids = [turn.id for turn in turns if turn.read_at is None]
        if not unread_ids:
            return
        learnt = await self._learnt_from([turn.conversation for turn in turns])
        is_one_of_these = is_any_of(UnreadTurn.id, unread_ids)
        still_unread = (
            select(UnreadTurn.id)
            .where(
                is_one_of_these,
                _IS_UNREAD,
                UnreadTurn.dialog_id.is_not_distinct_from(whose.dialog_id),
            )
            .order_by(UnreadTurn.id)
            .with_for_update()
        )

        async def step(connection: AsyncConnection) -> None:
            locked = (await connection.execute(still_unread)).all()
            if len(locked) < len(unread_ids):
                return  # another worker was faster, the dialog began anew, or the user was erased
            # What has taught something would teach it again together with the next turn.
            done = is_any_of(UnreadTurn.id, [turn.id for turn in turns])
            is_erased = done if learnt else and_(done, _HAS_HISTORY)
            await connection.execute(delete(UnreadTurn).where(is_erased))
            mark = update(UnreadTurn).where(is_one_of_these)
            await connection.execute(mark.values(read_at=func.clock_timestamp()))
            await self._remember(connection, learnt, turns[-1], dialog_id=whose.dialog_id)

        await run_in_transaction(self._engine, step)

    async def _learnt_from(self, conversations: Sequence[dict[str, Any]]) -> dict[Subject, Finding]:
        try:
            return _by_subject(await self._findings(_joined(conversations)))
        except Exception as error:  # noqa: BLE001 (whatever it is, it must not be read again and again)
            # The traceback may quote what people wrote.
            log.error("turn cannot be read", error=type(error).__name__)  # noqa: TRY400
            return {Subject.PERSONA: _UNREADABLE}

    async def _findings(self, messages: Sequence[Message]) -> list[Finding]:
        # In a thread: a long conversation takes a while, and websocket frames must not wait.
        return await asyncio.to_thread(self._screen.findings, *messages)

    async def _remember(
        self,
        connection: AsyncConnection,
        learnt: Mapping[Subject, Finding],
        source: "ClaimedRequest | AnyRow",
        *,
        dialog_id: int | None,
    ) -> None:
        """Remember what was learnt from a request or a turn, in the order of the locks."""
        persona, user = learnt.get(Subject.PERSONA), learnt.get(Subject.USER)
        if persona is not None and dialog_id is not None:
            await connection.execute(
                safety_memory.remember(
                    safety_memory.PERSONA,
                    str(dialog_id),
                    rule=persona.rule,
                    version=VERSION,
                    message_count=source.message_count,
                )
            )
            log.info("dialog is kept safe", dialog_id=dialog_id, rule=persona.rule)
        if user is not None:
            secret = await read_secret(connection, self._hash_secret)
            await quota.lock_user(connection, source.user_id)
            await connection.execute(
                safety_memory.remember(
                    safety_memory.USER,
                    safety_memory.user_key(secret, source.user_id),
                    rule=user.rule,
                    version=VERSION,
                    message_count=source.message_count,
                )
            )
            await connection.execute(age_confirmation.revoke(source.user_id))
            # When the waiting time is over, the bot may ask once more.
            await connection.execute(age_confirmation.release_question(source.user_id))
            log.info("age confirmation is revoked", dialog_id=dialog_id, rule=user.rule)

    async def _rows(self, query: Select[*tuple[Any, ...]]) -> Sequence[AnyRow]:
        async def step(connection: AsyncConnection) -> Sequence[AnyRow]:
            return (await connection.execute(query)).all()

        return await run_statement(self._engine, step)


def _by_subject(findings: Iterable[Finding]) -> dict[Subject, Finding]:
    """Return the worst finding for the user and for the persona, where they are the minor."""
    by_verdict = sorted(findings, key=lambda found: found.verdict)
    return {
        found.subject: found
        for found in by_verdict
        if found.subject in (Subject.USER, Subject.PERSONA)
    }


def _joined(conversations: Sequence[dict[str, Any]]) -> list[Message]:
    """Return the newest messages of several turns of a dialog, the oldest first.

    A turn that came with its history has all that was said before it.
    """
    messages: list[Message] = []
    for conversation in map(Conversation.model_validate, conversations):
        earlier = [] if conversation.history else messages
        messages = [*earlier, *_messages(conversation)]
    return messages[-MAX_MESSAGES:]


def _messages(conversation: Conversation) -> list[Message]:
    return conversation.messages[::-1]
