"""SQL of what was learnt of users and dialogs that keeps pictures safe, and of turns yet to be read.

Who says to be under 18 cannot confirm to be of age for `WAITING_TIME`, not even after everything of
them was erased: a keyed hash of the user's id stays. A dialog whose persona was given such an age
stays safe until it begins anew.

All code locks in the same order: the dialog, its requests, turns, the memory of dialogs, the user
(`quota.lock_user`), the memory of users.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Exists,
    Insert,
    Select,
    SQLColumnExpression,
    Text,
    and_,
    cast,
    delete,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from chatflow_hook import age_confirmation
from chatflow_hook.keyed_hash import keyed_hash
from chatflow_hook.statement_deadline import Executor
from chatflow_hook.tables import SafetyMemory, UnreadTurn, is_any_of
from chatflow_hook.turn import MAX_TEXT, Turn

WAITING_TIME = timedelta(days=30)
# A user was forgotten before a worker could read their last turns: it is not known what they said.
_WAIT_AFTER_UNREAD = timedelta(days=1)
# For so long a turn that came without a history is kept after it was read, since the next one may
# be the answer to it.
ANSWERED_WITHIN = timedelta(minutes=2)
USER, PERSONA = "user", "persona"


def user_key(secret: bytes, user_id: int) -> str:
    """Return the key under which a user's row is found; the id cannot be guessed back from it."""
    return keyed_hash(secret, str(user_id), purpose=SafetyMemory.__tablename__)


async def waits_until(connection: Executor, key: str) -> datetime | None:
    """Return when a user may confirm to be of age, by `user_key`; None if that is now."""
    query = select(SafetyMemory.until).where(
        *_is(USER, key), SafetyMemory.until > func.clock_timestamp()
    )
    return (await connection.execute(query)).scalar_one_or_none()


def learnt_of(*, user_key: str, dialog_id: int) -> Select[*tuple[Any, ...]]:
    """Return the query for what was learnt of a user and of a dialog, without their keys."""
    return select(
        SafetyMemory.subject,
        SafetyMemory.rule,
        SafetyMemory.version,
        SafetyMemory.message_count,
        SafetyMemory.learnt_at,
        SafetyMemory.until,
    ).where(or_(and_(*_is(USER, user_key)), and_(*_is(PERSONA, str(dialog_id)))))


def is_dialog_kept_safe(dialog_id: int | SQLColumnExpression[int]) -> Exists:
    """Return the condition that a dialog stays safe; `dialog_id` may be a column of the statement."""
    key = str(dialog_id) if isinstance(dialog_id, int) else cast(dialog_id, Text)
    return exists().where(*_is(PERSONA, key))


def may_exceed_safe(
    user_id: int | SQLColumnExpression[int],
    dialog_id: int | SQLColumnExpression[int],
    *,
    text_version: str | ColumnElement[str],
) -> ColumnElement[bool]:
    """Return the condition that the user's age is confirmed and nothing learnt keeps the dialog safe."""
    return and_(
        age_confirmation.is_confirmed(user_id, text_version=text_version),
        not_(is_dialog_kept_safe(dialog_id)),
    )


def has_unread_turns(
    user_id: SQLColumnExpression[int], dialog_id: SQLColumnExpression[int]
) -> Exists:
    """Return the condition that a turn of the user or of the dialog was noted and is not read yet."""
    return exists().where(
        UnreadTurn.read_at.is_(None),
        or_(UnreadTurn.user_id == user_id, UnreadTurn.dialog_id == dialog_id),
    )


def remember(
    subject: str, key: str, *, rule: str | None, version: str | None, message_count: int | None
) -> Insert:
    """Return the statement that stores what was learnt; the waiting time of a user begins anew."""
    columns = {
        "rule": rule,
        "version": version,
        "message_count": message_count,
        "learnt_at": func.clock_timestamp(),
        "until": func.clock_timestamp() + WAITING_TIME if subject == USER else None,
    }
    return (
        upsert(SafetyMemory)
        .values(subject=subject, key=key, **columns)
        .on_conflict_do_update(index_elements=["subject", "key"], set_=columns)
    )


async def note_turn(connection: Executor, turn: Turn, message_count: int) -> None:
    """Write a turn down for the worker to read; of a group without the history, which others wrote."""
    said = turn.conversation.model_copy(update={"text": turn.text[:MAX_TEXT]})
    if turn.chat_id not in (None, turn.user_id):
        said = said.model_copy(update={"history": ()})
    values = {
        "id": uuid4(),
        "dialog_id": turn.dialog_id,
        "user_id": turn.user_id,
        "message_count": message_count,
        "conversation": said.model_dump(mode="json", exclude={"prompt"}),
    }
    await connection.execute(insert(UnreadTurn).values(values))


async def begin_anew(connection: Executor, dialog_id: int) -> bool:
    """Forget what keeps a dialog safe, and return whether there was something.

    From turns that were not read yet only the user is learnt of.
    """
    of_before = update(UnreadTurn).where(UnreadTurn.dialog_id == dialog_id)
    await connection.execute(of_before.values(dialog_id=None))
    return await _forget(connection, PERSONA, str(dialog_id))


async def lift_user(connection: Executor, key: str) -> bool:
    """End the waiting time of a user; return whether there was one."""
    return await _forget(connection, USER, key)


async def forget_dialogs(connection: Executor, dialog_ids: Any) -> None:
    """Erase what keeps these dialogs safe; `dialog_ids` are numbers."""
    keys = [str(dialog_id) for dialog_id in dialog_ids]
    await connection.execute(
        delete(SafetyMemory).where(
            SafetyMemory.subject == PERSONA, is_any_of(SafetyMemory.key, keys)
        )
    )


async def erase_turns(connection: Executor, user_id: int) -> bool:
    """Erase the turns of a user; return whether one of them was not read yet."""
    query = delete(UnreadTurn).where(UnreadTurn.user_id == user_id).returning(UnreadTurn.read_at)
    return None in (await connection.execute(query)).scalars().all()


async def forget_user(connection: Executor, key: str, *, has_unread: bool) -> datetime | None:
    """Leave nothing of what was learnt of a user but the key and its waiting time.

    `has_unread`: there were turns that nobody has read, so the user waits for a day at least.
    Returns the end of the waiting time; None if nothing is left.
    """
    if has_unread:
        await connection.execute(_WAIT_A_DAY, {"key": key})
    nothing = {"rule": None, "version": None, "message_count": None, "learnt_at": None}
    query = update(SafetyMemory).where(*_is(USER, key)).values(nothing)
    until = await connection.execute(query.returning(SafetyMemory.until))
    return until.scalar_one_or_none()


_UNTIL = func.clock_timestamp() + _WAIT_AFTER_UNREAD
_WAIT_A_DAY = upsert(SafetyMemory).values(subject=USER, until=_UNTIL)
_WAIT_A_DAY = _WAIT_A_DAY.on_conflict_do_update(
    index_elements=["subject", "key"], set_={"until": func.greatest(SafetyMemory.until, _UNTIL)}
)


async def _forget(connection: Executor, subject: str, key: str) -> bool:
    query = delete(SafetyMemory).where(*_is(subject, key)).returning(SafetyMemory.key)
    return (await connection.execute(query)).one_or_none() is not None


def _is(subject: str, key: str | ColumnElement[str]) -> tuple[ColumnElement[bool], ...]:
    return SafetyMemory.subject == subject, SafetyMemory.key == key
