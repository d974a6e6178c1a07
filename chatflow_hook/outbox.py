"""The outbox: counts a message and writes its request down, in the caller's transaction."""

import random
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Row, bindparam, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from chatflow_hook.quota import Quota, check_quota
from chatflow_hook.statement_deadline import Executor
from chatflow_hook.tables import OURS, Dialog, ImageRequest, Kind, State
from chatflow_hook.trigger import Distance, judge
from chatflow_hook.turn import MAX_PERSONA, Turn

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One picture that is to be made: what `wait`, `cancel` and `vary` find it by.

    `id` is the primary key of its row and its arq job id. `message_count` is the dialog's count
    of user messages at which it was requested, 0 for a cover. Holds no state: see `Picture`.
    """

    id: UUID
    dialog_id: int
    message_count: int


@dataclass(frozen=True, kw_only=True)
class Ownership:
    """Which parts of `dialogs` our migrations made; the rest is the bot's."""

    dialogs: bool
    message_count: bool


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On which terms a dialog gets pictures of its own accord."""

    distance: Distance
    allowance: Quota
    chance: random.Random


class DialogUnknownError(LookupError):
    """The bot's own `dialogs` table has no row with this id, and only the bot may add one."""


_Row = Row[*tuple[Any, ...]]

_OWNERSHIP = text(
    """
    SELECT obj_description(t.oid, 'pg_class') IS NOT DISTINCT FROM :ours AS dialogs,
           col_description(t.oid, c.attnum) IS NOT DISTINCT FROM :ours AS message_count
    FROM (SELECT 'dialogs'::regclass::oid AS oid) t
    LEFT JOIN pg_attribute c ON c.attrelid = t.oid AND c.attname = 'message_count'
    """
)

# Built once: for a turn of the chat, building them costs as much as running them.
# NO KEY UPDATE: two messages of a dialog wait for each other, while the bot's inserts into tables
# that refer to this row do not wait for us.
_LOCKED = (
    select(
        # A bot's own column may be empty.
        func.coalesce(Dialog.message_count, 0).label("message_count"),
        Dialog.last_image_generation_at,
        Dialog.image_last_message_id,
    )
    .where(Dialog.id == bindparam("dialog_id"))
    .with_for_update(key_share=True)
)
_LAST_AUTOMATIC = (
    select(ImageRequest.id, ImageRequest.state, ImageRequest.message_count)
    .where(ImageRequest.dialog_id == bindparam("dialog_id"), ImageRequest.kind == Kind.AUTOMATIC)
    .order_by(ImageRequest.created_at.desc())
    .limit(1)
)
_REMEMBER = update(Dialog).where(Dialog.id == bindparam("dialog_id"))


async def ownership(connection: Executor) -> Ownership:
    """Read from the comments in the schema what is ours."""
    row = (await connection.execute(_OWNERSHIP, {"ours": OURS})).one()
    return Ownership(dialogs=row.dialogs, message_count=row.message_count)


async def record(
    connection: Executor,
    turn: Turn,
    *,
    owned: Ownership,
    terms: Terms,
) -> Request | None:
    """Count the turn's message and, if a picture is due and allowed, add its request.

    Neither commits nor rolls back. The same message twice gives the same request.

    Raises:
        DialogUnknownError: the bot's own `dialogs` has no such row.
    """
    dialog = await locked(connection, turn, owned)
    last = await _last_automatic(connection, turn.dialog_id)
    is_counted = turn.reply_to_message_id is not None and (
        turn.reply_to_message_id == dialog.image_last_message_id
    )
    message_count = turn.message_count or dialog.message_count + (not is_counted)
    if last is not None and _is_of_this_message(last, message_count, dialog):
        return Request(id=last.id, dialog_id=turn.dialog_id, message_count=message_count)
    if is_counted:
        return None
    verdict = judge(
        message_count=message_count,
        watermark=dialog.last_image_generation_at,
        failed_at=last.message_count if last and last.state != State.DELIVERED else None,
        distance=terms.distance,
        chance=terms.chance,
    )
    await _remember(connection, turn, owned, message_count, verdict.watermark)
    if last is not None and State(last.state).is_open:
        await _carry_over(connection, last, message_count)
        return None
    if not verdict.is_due:
        return None
    if await check_quota(connection, turn.user_id, kind=Kind.AUTOMATIC, allowance=terms.allowance):
        log.info("picture not allowed yet", dialog_id=turn.dialog_id, message_count=message_count)
        return None
    return await _add(connection, turn, message_count)


async def locked(connection: Executor, turn: Turn, owned: Ownership) -> Any:
    """Lock a turn's dialog and return what is known of it.

    Raises:
        DialogUnknownError: the bot's own `dialogs` has no such row.
    """
    dialog = {"dialog_id": turn.dialog_id}
    row = (await connection.execute(_LOCKED, dialog)).one_or_none()
    if row is None and owned.dialogs:
        await connection.execute(upsert(Dialog).values(id=turn.dialog_id).on_conflict_do_nothing())
        row = (await connection.execute(_LOCKED, dialog)).one_or_none()
    if row is None:
        raise DialogUnknownError(f"there is no dialog {turn.dialog_id}")
    return row


async def _last_automatic(connection: Executor, dialog_id: int) -> _Row | None:
    dialog = {"dialog_id": dialog_id}
    return (await connection.execute(_LAST_AUTOMATIC, dialog)).one_or_none()


def _is_of_this_message(last: _Row, message_count: int, dialog: _Row) -> bool:
    # A dialog that began anew comes past the same counts again: a delivered request is of this
    # message only while the watermark still stands on it.
    is_of_this_life = (
        last.state != State.DELIVERED or dialog.last_image_generation_at == last.message_count
    )
    return bool(last.message_count == message_count) and is_of_this_life


async def _remember(
    connection: Executor,
    turn: Turn,
    owned: Ownership,
    message_count: int,
    watermark: int | None,
) -> None:
    values: dict[str, Any] = {
        "dialog_id": turn.dialog_id,
        "last_image_generation_at": watermark,
        "image_last_message_id": turn.reply_to_message_id,
    }
    # A count that the bot keeps in a column of its own is the bot's to write.
    if turn.message_count is None or owned.message_count:
        values["message_count"] = message_count
    await connection.execute(_REMEMBER, values)


async def _carry_over(connection: Executor, last: _Row, message_count: int) -> None:
    # The dialog began anew while its picture is under way: that picture is of the new life now,
    # and the watermark that it will leave has to be one of that life.
    if message_count < last.message_count:
        query = update(ImageRequest).where(ImageRequest.id == last.id)
        await connection.execute(query.values(message_count=message_count))


async def _add(connection: Executor, turn: Turn, message_count: int) -> Request:
    request = Request(id=uuid4(), dialog_id=turn.dialog_id, message_count=message_count)
    await connection.execute(insert(ImageRequest).values(row_of(turn, request, Kind.AUTOMATIC)))
    return request


def row_of(turn: Turn, request: Request, kind: Kind) -> dict[str, Any]:
    """Return the columns of a new row; a turn that can never become a picture has failed there."""
    row = {
        "id": request.id,
        "kind": kind,
        "state": State.QUEUED,
        "message_count": request.message_count,
        "conversation": turn.conversation.model_dump(mode="json"),
        # The clock and not the transaction's begin: rows of one transaction stay in order.
        "created_at": func.clock_timestamp(),
        **turn.model_dump(include=_COPIED),
        "persona": turn.persona[:MAX_PERSONA],
    }
    if turn.fault is not None:
        # Recorded, so that whoever asks learns why; nothing of it is worth keeping or drawing.
        row |= {
            "state": State.FAILED,
            "conversation": None,
            "error_code": turn.fault.code,
            "error_sentence": turn.fault.sentence,
            "finished_at": func.clock_timestamp(),
        }
    return row


_COPIED = {
    "dialog_id",
    "user_id",
    "chat_id",
    "chat_type",
    "language",
    "rating",
    "story",
    "caption",
    "has_spoiler",
    "reply_to_message_id",
    "message_thread_id",
}
