"""The outbox: counts a message and inserts the request of a picture, in the caller's transaction.

The request is committed together with whatever else the bot commits, so neither is there without
the other. Only after the commit is the worker told through Redis; its relay finds the rest.
"""

import enum
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import structlog
from sqlalchemy import Row, func, update
from sqlalchemy.dialects.postgresql import insert as upsert

from chatflow_hook import counting, dialog_statements, safety_memory, sqlstates
from chatflow_hook.counter_check import CounterCheck
from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.prefilter import needs_reading
from chatflow_hook.quota import Quota, check_quota
from chatflow_hook.statement_deadline import DeadlineConnection, Executor
from chatflow_hook.tables import OURS, Dialog, ImageRequest, Kind, State, is_open
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


@dataclass(frozen=True, kw_only=True)
class _Decision:
    """What a turn changes in its dialog, and what is to be done besides.

    `counted` are the dialog's messages with this one. `version` is that of the dialog's row
    from which all this follows, None if there is none yet. `is_noted`: the worker has to read the
    turn. `moves_last`: the dialog was restarted, so its last automatic request has to move.
    """

    message_count: int
    watermark: int | None
    counted: list[int]
    version: str | None
    begins_anew: bool
    is_noted: bool
    moves_last: bool
    is_due: bool

    @property
    def is_only_counted(self) -> bool:
        """Whether the dialog's row is all that is written."""
        return not (self.begins_anew or self.is_noted or self.moves_last or self.is_due)


class CountState(enum.Enum):
    """Whether the message of a turn was counted; `UNKNOWN` while the server has not said so."""

    NOT_COUNTED = enum.auto()
    UNKNOWN = enum.auto()
    COUNTED = enum.auto()


@dataclass(kw_only=True, eq=False)
class PendingTurn:
    """A turn that is to be counted by `deadline`, of `time.monotonic`, and whether it was.

    `messages_needed` draws its distance, the same at each call.
    """

    turn: Turn
    messages_needed: Callable[[], int]
    deadline: float
    state: CountState = CountState.NOT_COUNTED


class DialogUnknownError(LookupError):
    """The bot's own `dialogs` table has no row with this id, and only the bot may add one."""


_Row = Row[*tuple[Any, ...]]

# A longer text is no answer to the message before it. So many of the messages before are looked at.
_MAX_ANSWER_WORDS = 8
_MESSAGES_BEFORE = 2
# The class of errors of a connection.
_CONNECTION_LOST = "08"

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
    row = (await connection.execute(dialog_statements.OWNERSHIP.executable, {"ours": OURS})).one()
    return Ownership(dialogs=row.dialogs, message_count=row.message_count)


async def read_ownership_directly(connection: asyncpg.Connection) -> Ownership:
    """Read the same on asyncpg itself."""
    row: Any = await dialog_statements.OWNERSHIP.first(connection, {"ours": OURS})
    return Ownership(dialogs=row.dialogs, message_count=row.message_count)


async def record(  # noqa: PLR0913 (what a turn depends on, by name)
    connection: DeadlineConnection,
    turn: Turn,
    *,
    ownership: Ownership,
    settings: TriggerSettings,
    messages_needed: Callable[[], int],
    counter_check: CounterCheck,
) -> Request | None:
    """Count the turn's message and, if a picture is due and allowed, insert its request.

    `messages_needed` draws the distance of this turn, the same at each call. A turn that may speak of
    somebody under 18 is noted for the worker to read; of one that `is_refresh` nothing else is
    done. Neither commits nor rolls back. The same message twice gives the same request.

    Raises:
        DialogUnknownError: the bot's own `dialogs` has no such row.
        TimeoutError: the time of the turn is over.
    """
    if turn.is_refresh:
        await safety_memory.note_turn(connection, turn, turn.user_message_count or 0)
        return None
    while True:
        dialog = await _read_dialog(connection, turn, ownership)
        if counting.is_counted(turn, _counted_messages(dialog)):
            return await _request_of_message(connection, turn, dialog)
        decision = _decide(turn, dialog, settings.distance, messages_needed)
        if await _count(connection, turn, ownership, decision):
            break
    _observe(turn, ownership, decision, counter_check)

    if decision.begins_anew:
        await safety_memory.begin_anew(connection, turn.dialog_id)
    if decision.is_noted:
        await safety_memory.note_turn(connection, turn, decision.message_count)
    if decision.moves_last:
        await _move_after_restart(connection, dialog, decision.message_count)
    if not decision.is_due:
        return None
    count = decision.message_count
    if await check_quota(connection, turn.user_id, kind=Kind.AUTOMATIC, quota=settings.quota):
        log.info("picture not allowed yet", dialog_id=turn.dialog_id, message_count=count)
        return None
    return await _insert_request(connection, turn, count)


async def count_together(
    connection: asyncpg.Connection,
    pending: Sequence[PendingTurn],
    *,
    ownership: Ownership,
    settings: TriggerSettings,
    counter_check: CounterCheck,
) -> None:
    """Count the messages of turns whose count is all that there is to do, and set their states.

    Most turns bring no picture. For all of them together two statements are enough, each a
    transaction by itself. Nothing is written for a turn that brings more, whose dialog is unknown,
    is held by somebody or has changed in between, and for a second turn of one dialog.

    Raises:
        asyncpg.PostgresError: the server refuses a statement. Other errors of asyncpg, and OSError,
            may come instead. The states say which turns were counted before.
    """
    ids = list({each.turn.dialog_id for each in pending})
    dialogs = {
        row.dialog_id: row
        for row in await dialog_statements.READ_DIALOGS.all(connection, {"dialog_ids": ids})
    }
    decisions: dict[int, tuple[PendingTurn, _Decision]] = {}
    for each in pending:
        turn, dialog = each.turn, dialogs[each.turn.dialog_id]
        is_unknown = dialog.version is None and not ownership.dialogs
        is_counted = counting.is_counted(turn, _counted_messages(dialog))
        if is_unknown or is_counted or turn.dialog_id in decisions:
            continue
        decision = _decide(turn, dialog, settings.distance, each.messages_needed)
        if decision.is_only_counted:
            decisions[turn.dialog_id] = (each, decision)
    by_query: dict[DirectQuery, dict[int, tuple[PendingTurn, _Decision]]] = {}
    for dialog_id, (each, decision) in decisions.items():
        query = _query_of(each.turn, ownership, decision)
        by_query.setdefault(query, {})[dialog_id] = (each, decision)
    for query, given in by_query.items():
        await _count_by(query, connection, given)
        for each, decision in given.values():
            if each.state is CountState.COUNTED:
                _observe(each.turn, ownership, decision, counter_check)


async def _count_by(
    query: DirectQuery,
    connection: asyncpg.Connection,
    given: Mapping[int, tuple[PendingTurn, _Decision]],
) -> None:
    for each, _ in given.values():
        each.state = CountState.UNKNOWN
    try:
        rows = await query.all(connection, _given(given))
    except (asyncpg.PostgresError, asyncpg.InternalClientError) as error:
        if _is_refused(error):
            _set_states(given, written=())
        raise
    _set_states(given, written={row.id for row in rows})


def _set_states(
    given: Mapping[int, tuple[PendingTurn, _Decision]], *, written: Collection[int]
) -> None:
    for dialog_id, (each, _) in given.items():
        each.state = CountState.COUNTED if dialog_id in written else CountState.NOT_COUNTED


def _is_refused(error: Exception) -> bool:
    """Whether the server has refused a statement, which then has written nothing.

    So is a connection called that broke in the middle of an answer: SQLAlchemy has to use it once
    more to replace it.
    """
    state = sqlstates.sqlstate(error)
    return isinstance(error, asyncpg.InternalClientError) or (
        state is not None and not state.startswith(_CONNECTION_LOST)
    )


def _query_of(turn: Turn, ownership: Ownership, decision: _Decision) -> DirectQuery:
    if decision.version is None:
        return dialog_statements.ADD_DIALOGS
    if turn.message_count is not None and not ownership.message_count:
        return dialog_statements.COUNT_DIALOGS_BESIDE_THE_BOT
    return dialog_statements.COUNT_DIALOGS_OURS


def _given(decisions: Mapping[int, tuple[PendingTurn, _Decision]]) -> dict[str, Any]:
    """Return the values of `_GIVEN`."""
    pending, decided = zip(*decisions.values(), strict=True)
    turns = [each.turn for each in pending]
    return {
        "dialog_ids": list(decisions),
        "versions": [each.version for each in decided],
        "watermarks": [each.watermark for each in decided],
        "message_ids": [turn.reply_to_message_id for turn in turns],
        # PostgreSQL has no list of lists of different lengths.
        "counted": ["{" + ",".join(map(str, each.counted)) + "}" for each in decided],
        "counts": [each.message_count for each in decided],
    }


def _decide(
    turn: Turn, dialog: Any, distance: Distance, messages_needed: Callable[[], int]
) -> _Decision:
    """Decide what a turn brings whose message was not counted yet."""
    counted = _counted_messages(dialog)
    message_count = turn.user_message_count or dialog.message_count + 1
    watermark = dialog.last_image_generation_at
    if not counted and watermark is not None:
        watermark = inherited_watermark(
            watermark,
            message_count=message_count,
            counts_both_roles=turn.counts_both_roles,
            distance=distance,
        )
    has_last = dialog.last_id is not None
    is_undelivered = has_last and dialog.last_state != State.DELIVERED
    verdict = judge(
        message_count=message_count,
        watermark=watermark,
        failed_at=dialog.last_message_count if is_undelivered else None,
        distance=distance,
        messages_needed=messages_needed(),
    )
    is_under_way = has_last and is_open(dialog.last_state, dialog.last_finished_at)
    return _Decision(
        message_count=message_count,
        watermark=verdict.watermark,
        counted=counting.with_message(turn, message_count, counted),
        version=dialog.version,
        begins_anew=message_count == 1 and (dialog.was_noted_lately or dialog.is_kept_safe),
        is_noted=may_speak_of_a_minor(turn)
        or (dialog.was_noted_lately and _may_be_an_answer(turn)),
        moves_last=has_last and message_count < dialog.last_message_count,
        # A picture that was asked for is picture enough.
        is_due=verdict.is_due and not is_under_way and not dialog.has_open_asked,
    )


def _observe(
    turn: Turn, ownership: Ownership, decision: _Decision, counter_check: CounterCheck
) -> None:
    if turn.message_count is not None or not ownership.message_count:
        counter_check.observe(turn, decision.message_count, counted=decision.counted)


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
    """Lock the row of a turn's dialog until the transaction ends, and return its message_count.

    The row is inserted first if it is missing and the table is ours.

    Raises:
        DialogUnknownError: the bot's own `dialogs` has no such row.
    """
    parameters = {"dialog_id": turn.dialog_id}
    row = (await connection.execute(dialog_statements.LOCK_DIALOG, parameters)).one_or_none()
    if row is None and ownership.dialogs:
        await connection.execute(upsert(Dialog).values(id=turn.dialog_id).on_conflict_do_nothing())
        row = (await connection.execute(dialog_statements.LOCK_DIALOG, parameters)).one_or_none()
    if row is None:
        raise DialogUnknownError(f"there is no dialog {turn.dialog_id}")
    return row


async def _read_dialog(connection: DeadlineConnection, turn: Turn, ownership: Ownership) -> Any:
    """Return all that is known of a turn's dialog; it need not have a row if the table is ours."""
    row = await connection.first(dialog_statements.READ_DIALOG, {"dialog_id": turn.dialog_id})
    if row is None or (row.version is None and not ownership.dialogs):
        raise DialogUnknownError(f"there is no dialog {turn.dialog_id}")
    return row


async def _last_automatic(connection: Executor, dialog_id: int) -> _Row | None:
    parameters = {"dialog_id": dialog_id}
    return (await connection.execute(dialog_statements.LAST_AUTOMATIC, parameters)).one_or_none()


def _counted_messages(dialog: Any) -> list[int]:
    last_id, counted = dialog.image_last_message_id, dialog.image_counted_messages
    # A hook of an older version writes only the id of the message that it has counted last.
    return [*counted] if last_id is None or last_id in counted else [*counted, last_id]


async def _request_of_message(connection: Executor, turn: Turn, dialog: Any) -> Request | None:
    """Return the automatic request that the turn's message brought when it was counted."""
    if turn.reply_to_message_id is None:
        row = await _last_automatic(connection, turn.dialog_id)
        if row is None or row.message_count != turn.user_message_count:
            return None
        if row.state == State.DELIVERED and dialog.last_image_generation_at != row.message_count:
            return None  # it was delivered before the dialog was restarted
    else:
        parameters = {"dialog_id": turn.dialog_id, "message_id": turn.reply_to_message_id}
        row = (
            await connection.execute(dialog_statements.LAST_OF_MESSAGE, parameters)
        ).one_or_none()
    if row is None:
        return None
    return Request(id=row.id, dialog_id=turn.dialog_id, message_count=row.message_count)


async def _count(
    connection: DeadlineConnection, turn: Turn, ownership: Ownership, decision: _Decision
) -> bool:
    """Write what was decided into the dialog's row; False if somebody has written to it since."""
    values: dict[str, Any] = {
        "dialog_id": turn.dialog_id,
        "watermark": decision.watermark,
        "message_id": turn.reply_to_message_id,
        "counted": decision.counted,
        "count": decision.message_count,
    }
    queries, first = dialog_statements.COUNTING, connection.first
    if decision.is_only_counted:
        queries, first = dialog_statements.COUNTING_LAST, connection.first_and_last
    if decision.version is None:
        return await first(queries.add, values) is not None
    values["version"] = decision.version
    if turn.message_count is not None and not ownership.message_count:
        del values["count"]
        return await first(queries.beside_the_bot, values) is not None
    return await first(queries.ours, values) is not None


async def _move_after_restart(connection: Executor, dialog: Any, message_count: int) -> None:
    # The dialog was restarted, so its messages are counted from 1 again. A picture that is under
    # way moves to the new count, since its delivery sets the watermark to that. One that did not
    # come moves before it, or it would hold back the next when the count passes it once more.
    if dialog.last_state == State.DELIVERED:
        return
    is_under_way = is_open(dialog.last_state, dialog.last_finished_at)
    moved = message_count if is_under_way else message_count - 1
    query = update(ImageRequest).where(ImageRequest.id == dialog.last_id)
    await connection.execute(query.values(message_count=moved))


async def _insert_request(connection: Executor, turn: Turn, message_count: int) -> Request | None:
    """Insert a request; None if one was put back into the queue since the dialog was read."""
    request = Request(id=uuid4(), dialog_id=turn.dialog_id, message_count=message_count)
    values = new_request_row(turn, request, Kind.AUTOMATIC)
    query = upsert(ImageRequest).values(values).on_conflict_do_nothing().returning(ImageRequest.id)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else request


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
