"""The outbox: counts a message and inserts the request of a picture, in the caller's transaction.

The request is committed together with whatever else the bot commits, so neither is there without
the other. Only after the commit is the worker told through Redis; its relay finds the rest.
"""

import random
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Row, bindparam, exists, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from chatflow_hook import counting, safety_memory
from chatflow_hook.counter_check import CounterCheck
from chatflow_hook.prefilter import needs_reading
from chatflow_hook.quota import Quota, check_quota
from chatflow_hook.statement_deadline import Executor
from chatflow_hook.tables import OPEN, OURS, Dialog, ImageRequest, Kind, State, UnreadTurn, is_open
from chatflow_hook.tracing import traced
from chatflow_hook.trigger import Distance, inherited_watermark, judge
from chatflow_hook.turn import MAX_PERSONA, MAX_TEXT, Turn

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One picture that is to be made, as `wait`, `cancel` and `vary` take it.

    `id` is the primary key of its row and its arq job id. `message_count` is the dialog's count
    of user messages at which it was requested, 0 for a cover. Holds no state: see `Picture`.
    """

    id: UUID
    dialog_id: int
    message_count: int


@dataclass(frozen=True, kw_only=True)
class Ownership:
    """Which parts of the table `dialogs` our migrations created; the rest belongs to the bot.

    `dialogs` is the table itself, so that the hook may add rows. `message_count` is that column,
    so that the hook may write it.
    """

    dialogs: bool
    message_count: bool


@dataclass(frozen=True, kw_only=True)
class TriggerSettings:
    """What decides about automatic pictures; `chance` draws the distance from its bounds."""

    distance: Distance
    quota: Quota
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

# These statements are built once: building them at each turn costs as much as running them.
# FOR NO KEY UPDATE: two messages of a dialog wait for each other, but the bot's inserts into tables
# with a foreign key to this row do not wait.
_LOCK_DIALOG = (
    select(
        # In a bot's own table the column may be NULL.
        func.coalesce(Dialog.message_count, 0).label("message_count"),
        Dialog.last_image_generation_at,
        Dialog.image_last_message_id,
        func.coalesce(Dialog.image_counted_messages, []).label("image_counted_messages"),
        exists().where(UnreadTurn.dialog_id == bindparam("dialog_id")).label("was_noted_lately"),
        exists()
        .where(
            ImageRequest.dialog_id == bindparam("dialog_id"),
            ImageRequest.kind == Kind.ASKED,
            ImageRequest.state.in_(OPEN),
        )
        .label("has_open_asked"),
    )
    .where(Dialog.id == bindparam("dialog_id"))
    .with_for_update(key_share=True)
)
_LAST_AUTOMATIC = (
    select(
        ImageRequest.id, ImageRequest.state, ImageRequest.message_count, ImageRequest.finished_at
    )
    .where(ImageRequest.dialog_id == bindparam("dialog_id"), ImageRequest.kind == Kind.AUTOMATIC)
    .order_by(ImageRequest.created_at.desc())
    .limit(1)
)
_LAST_OF_MESSAGE = _LAST_AUTOMATIC.where(
    ImageRequest.reply_to_message_id == bindparam("message_id")
)
# A longer text is no answer to the message before it. So many of the messages before are looked at.
_MAX_ANSWER_WORDS = 8
_MESSAGES_BEFORE = 2
_UPDATE_DIALOG = update(Dialog).where(Dialog.id == bindparam("dialog_id"))

# The fields of a turn whose columns have the same names.
_TURN_FIELDS = {
    "dialog_id",
    "user_id",
    "chat_id",
    "chat_type",
    "language",
    "rating",
    "story",
    "caption",
    "caption_parse_mode",
    "has_spoiler",
    "reply_to_message_id",
    "message_thread_id",
}


async def read_ownership(connection: Executor) -> Ownership:
    """Read from the comments in the schema what our migrations created."""
    row = (await connection.execute(_OWNERSHIP, {"ours": OURS})).one()
    return Ownership(dialogs=row.dialogs, message_count=row.message_count)


async def record(
    connection: Executor,
    turn: Turn,
    *,
    ownership: Ownership,
    settings: TriggerSettings,
    counter_check: CounterCheck,
) -> Request | None:
    """Count the turn's message and, if a picture is due and allowed, insert its request.

    A turn that may speak of somebody under 18 is noted for the worker to read; of one that
    `is_refresh` nothing else is done. Neither commits nor rolls back. The same message twice gives
    the same request.

    Raises:
        DialogUnknownError: the bot's own `dialogs` has no such row.
    """
    if turn.is_refresh:
        await safety_memory.note_turn(connection, turn, turn.user_message_count or 0)
        return None
    dialog = await lock_dialog(connection, turn, ownership)
    counted = _counted_messages(dialog)
    if counting.is_counted(turn, counted):
        return await _request_of_message(connection, turn, dialog)

    last = await _last_automatic(connection, turn.dialog_id)
    message_count = turn.user_message_count or dialog.message_count + 1
    watermark = dialog.last_image_generation_at
    if not counted and watermark is not None:
        watermark = inherited_watermark(
            watermark,
            message_count=message_count,
            counts_both_roles=turn.counts_both_roles,
            distance=settings.distance,
        )
    await _note_for_reading(connection, turn, message_count, dialog)
    verdict = judge(
        message_count=message_count,
        watermark=watermark,
        failed_at=last.message_count if last and last.state != State.DELIVERED else None,
        distance=settings.distance,
        chance=settings.chance,
    )
    counted = counting.with_message(turn, message_count, counted)
    await _update_dialog(
        connection,
        turn,
        ownership,
        message_count,
        last_image_generation_at=verdict.watermark,
        image_last_message_id=turn.reply_to_message_id,
        image_counted_messages=counted,
    )
    if turn.message_count is not None or not ownership.message_count:
        counter_check.observe(turn, message_count, counted=counted)

    if last is not None and message_count < last.message_count:
        await _move_after_restart(connection, last, message_count)
    if last is not None and is_open(last.state, last.finished_at):
        return None
    # A picture that was asked for is picture enough.
    if not verdict.is_due or dialog.has_open_asked:
        return None
    if await check_quota(connection, turn.user_id, kind=Kind.AUTOMATIC, quota=settings.quota):
        log.info("picture not allowed yet", dialog_id=turn.dialog_id, message_count=message_count)
        return None
    return await _insert_request(connection, turn, message_count)


async def _note_for_reading(
    connection: Executor, turn: Turn, message_count: int, dialog: _Row
) -> None:
    """Note a turn that may speak of somebody under 18; the first one of a dialog begins it anew."""
    if message_count == 1:
        await safety_memory.begin_anew(connection, turn.dialog_id)
    if may_speak_of_a_minor(turn) or (dialog.was_noted_lately and _may_be_an_answer(turn)):
        await safety_memory.note_turn(connection, turn, message_count)


def may_speak_of_a_minor(turn: Turn) -> bool:
    """Return whether a turn may say that somebody is under 18, so that it has to be read whole."""
    before = [message.text for message in turn.history[-_MESSAGES_BEFORE:]]
    return any(needs_reading(text[:MAX_TEXT]) for text in (turn.text, turn.reply or "", *before))


def _may_be_an_answer(turn: Turn) -> bool:
    """Whether a turn without history may have to be read together with the one before it."""
    return (
        not turn.history and len(turn.text.split(maxsplit=_MAX_ANSWER_WORDS)) <= _MAX_ANSWER_WORDS
    )


async def lock_dialog(connection: Executor, turn: Turn, ownership: Ownership) -> Any:
    """Lock the row of a turn's dialog until the transaction ends, and return its columns.

    The row is inserted first if it is missing and the table is ours.

    Raises:
        DialogUnknownError: the bot's own `dialogs` has no such row.
    """
    parameters = {"dialog_id": turn.dialog_id}
    row = (await connection.execute(_LOCK_DIALOG, parameters)).one_or_none()
    if row is None and ownership.dialogs:
        await connection.execute(upsert(Dialog).values(id=turn.dialog_id).on_conflict_do_nothing())
        row = (await connection.execute(_LOCK_DIALOG, parameters)).one_or_none()
    if row is None:
        raise DialogUnknownError(f"there is no dialog {turn.dialog_id}")
    return row


async def _last_automatic(connection: Executor, dialog_id: int) -> _Row | None:
    parameters = {"dialog_id": dialog_id}
    return (await connection.execute(_LAST_AUTOMATIC, parameters)).one_or_none()


def _counted_messages(dialog: _Row) -> list[int]:
    last_id, counted = dialog.image_last_message_id, dialog.image_counted_messages
    # A hook of an older version writes only the id of the message that it has counted last.
    return [*counted] if last_id is None or last_id in counted else [*counted, last_id]


async def _request_of_message(connection: Executor, turn: Turn, dialog: _Row) -> Request | None:
    """Return the automatic request that the turn's message brought when it was counted."""
    if turn.reply_to_message_id is None:
        row = await _last_automatic(connection, turn.dialog_id)
        if row is None or row.message_count != turn.user_message_count:
            return None
        if row.state == State.DELIVERED and dialog.last_image_generation_at != row.message_count:
            return None  # it was delivered before the dialog was restarted
    else:
        parameters = {"dialog_id": turn.dialog_id, "message_id": turn.reply_to_message_id}
        row = (await connection.execute(_LAST_OF_MESSAGE, parameters)).one_or_none()
    if row is None:
        return None
    return Request(id=row.id, dialog_id=turn.dialog_id, message_count=row.message_count)


async def _update_dialog(
    connection: Executor, turn: Turn, ownership: Ownership, message_count: int, **values: Any
) -> None:
    # If the bot has a count in a column of its own, only the bot writes that column.
    if turn.message_count is None or ownership.message_count:
        values["message_count"] = message_count
    await connection.execute(_UPDATE_DIALOG, {"dialog_id": turn.dialog_id, **values})


async def _move_after_restart(connection: Executor, last: _Row, message_count: int) -> None:
    # The dialog was restarted, so its messages are counted from 1 again. A picture that is under
    # way moves to the new count, since its delivery sets the watermark to that. One that did not
    # come moves before it, or it would hold back the next when the count passes it once more.
    if last.state == State.DELIVERED:
        return
    moved = message_count if is_open(last.state, last.finished_at) else message_count - 1
    query = update(ImageRequest).where(ImageRequest.id == last.id)
    await connection.execute(query.values(message_count=moved))


async def _insert_request(connection: Executor, turn: Turn, message_count: int) -> Request:
    request = Request(id=uuid4(), dialog_id=turn.dialog_id, message_count=message_count)
    values = new_request_row(turn, request, Kind.AUTOMATIC)
    await connection.execute(insert(ImageRequest).values(values))
    return request


def new_request_row(turn: Turn, request: Request, kind: Kind) -> dict[str, Any]:
    """Return the columns of a request's row: failed if the turn has a `fault`, else queued."""
    row = {
        "id": request.id,
        "kind": kind,
        "state": State.QUEUED,
        "message_count": request.message_count,
        "conversation": turn.conversation.model_dump(mode="json"),
        # Not now(), which is the start of the transaction: rows of one transaction stay in order.
        "created_at": func.clock_timestamp(),
        **traced(),
        **turn.model_dump(include=_TURN_FIELDS),
        "persona": turn.persona[:MAX_PERSONA],
    }
    if turn.fault is not None:
        # The row exists so that `wait` can report the reason. The conversation is not kept.
        row |= {
            "state": State.FAILED,
            "conversation": None,
            "error_code": turn.fault.code,
            "error_sentence": turn.fault.sentence,
            "finished_at": func.clock_timestamp(),
        }
    return row
