"""The statements of a turn: they read a dialog, of one turn or of many, and write its count.

All are built once: building them at each turn costs as much as running them.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Select,
    SQLColumnExpression,
    Text,
    bindparam,
    cast,
    column,
    exists,
    func,
    literal_column,
    outerjoin,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from chatflow_hook import safety_memory
from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.statement_deadline import LOCK_TIMEOUT_MS, RESTORED_LIMITS
from chatflow_hook.tables import OPEN, OURS, Dialog, ImageRequest, Kind, UnreadTurn

OWNERSHIP = DirectQuery(
    text(
        """
    SELECT obj_description(t.oid, 'pg_class') IS NOT DISTINCT FROM :ours AS dialogs,
           col_description(t.oid, c.attnum) IS NOT DISTINCT FROM :ours AS message_count
    FROM (SELECT 'dialogs'::regclass::oid AS oid) t
    LEFT JOIN pg_attribute c ON c.attrelid = t.oid AND c.attname = 'message_count'
        """
    ).bindparams(bindparam("ours", OURS, Text))
)

_DIALOG_ID = bindparam("dialog_id", type_=BigInteger)
# FOR NO KEY UPDATE: two messages of a dialog wait for each other, but the bot's inserts into tables
# with a foreign key to this row do not wait.
LOCK_DIALOG = (
    select(func.coalesce(Dialog.message_count, 0).label("message_count"))
    .where(Dialog.id == _DIALOG_ID)
    .with_for_update(key_share=True)
)


def _last_automatic_of(dialog_id: SQLColumnExpression[int]) -> Select[*tuple[Any, ...]]:
    return (
        select(
            ImageRequest.id,
            ImageRequest.state,
            ImageRequest.message_count,
            ImageRequest.finished_at,
        )
        .where(ImageRequest.dialog_id == dialog_id, ImageRequest.kind == Kind.AUTOMATIC)
        .order_by(ImageRequest.created_at.desc())
        .limit(1)
    )


LAST_AUTOMATIC = _last_automatic_of(_DIALOG_ID)
_COUNT_VALUES: dict[str, Any] = {
    "last_image_generation_at": bindparam("watermark", type_=Integer),
    "image_last_message_id": bindparam("message_id", type_=BigInteger),
    "image_counted_messages": bindparam("counted", type_=ARRAY(BigInteger)),
}
_NEW_COUNT = bindparam("count", type_=Integer)
# PostgreSQL gives each version of a row another number, that of the transaction that has written it.
_VERSION = cast(literal_column("dialogs.xmin"), Text)


def _dialogs(ids: Any, dialog_id: SQLColumnExpression[int]) -> Select[Any]:
    """Return the query for all that decides about a picture, of one moment.

    It has a row for each of `ids`, whose `version` is NULL if the dialog has none. It locks
    nothing: the count is written only if nobody has written to the dialog since.
    """
    last = _last_automatic_of(dialog_id).subquery("last").lateral()
    return select(
        dialog_id.label("dialog_id"),
        # In a bot's own table the column may be NULL.
        func.coalesce(Dialog.message_count, 0).label("message_count"),
        Dialog.last_image_generation_at,
        Dialog.image_last_message_id,
        func.coalesce(Dialog.image_counted_messages, []).label("image_counted_messages"),
        _VERSION.label("version"),
        exists().where(UnreadTurn.dialog_id == dialog_id).label("was_noted_lately"),
        safety_memory.is_dialog_kept_safe(dialog_id).label("is_kept_safe"),
        exists()
        .where(
            ImageRequest.dialog_id == dialog_id,
            ImageRequest.kind == Kind.ASKED,
            ImageRequest.state.in_(OPEN),
        )
        .label("has_open_asked"),
        last.c.id.label("last_id"),
        last.c.state.label("last_state"),
        last.c.message_count.label("last_message_count"),
        last.c.finished_at.label("last_finished_at"),
    ).select_from(outerjoin(outerjoin(ids, Dialog, Dialog.id == dialog_id), last, true()))


_ANY = select(literal_column("1").label("any")).subquery("any")
READ_DIALOG = DirectQuery(_dialogs(_ANY, _DIALOG_ID))
# In a query of its own the list has no length that PostgreSQL could plan for. Otherwise it would plan
# anew at each turn, which takes longer than to read a dialog.
_IDS = (
    func.unnest(select(bindparam("dialog_ids", type_=ARRAY(BigInteger))).scalar_subquery())
    .table_valued(column("dialog_id", BigInteger), name="ids")
    .render_derived()
)
READ_DIALOGS = DirectQuery(_dialogs(_IDS, _IDS.c.dialog_id))
_ADD = (
    upsert(Dialog)
    .values({"id": _DIALOG_ID, "message_count": _NEW_COUNT, **_COUNT_VALUES})
    .on_conflict_do_nothing()
    .returning(Dialog.id)
)
_COUNT = (
    update(Dialog)
    .where(
        Dialog.id == _DIALOG_ID,
        bindparam("version", type_=Text) == _VERSION,
        # Evaluated before the row is locked. In a transaction of the bot's it is restored.
        select(func.set_config("lock_timeout", str(LOCK_TIMEOUT_MS), true())).scalar_subquery()
        != "",
    )
    .values(_COUNT_VALUES)
    .returning(Dialog.id)
)
# If the bot has a count in a column of its own, only the bot writes that column.
_COUNT_OURS = _COUNT.values(message_count=_NEW_COUNT)


@dataclass(frozen=True, kw_only=True)
class CountQueries:
    """The statements that write a count; those of a last statement also restore the limits of time."""

    add: DirectQuery
    ours: DirectQuery
    beside_the_bot: DirectQuery


COUNTING = CountQueries(
    add=DirectQuery(_ADD), ours=DirectQuery(_COUNT_OURS), beside_the_bot=DirectQuery(_COUNT)
)
COUNTING_LAST = CountQueries(
    add=DirectQuery(_ADD.returning(*RESTORED_LIMITS)),
    ours=DirectQuery(_COUNT_OURS.returning(*RESTORED_LIMITS)),
    beside_the_bot=DirectQuery(_COUNT.returning(*RESTORED_LIMITS)),
)

# The same for the turns of several dialogs, a list of values for each column.
_GIVEN = """
    SELECT * FROM unnest(CAST(:dialog_ids AS bigint[]), CAST(:versions AS text[]),
        CAST(:watermarks AS integer[]), CAST(:message_ids AS bigint[]),
        CAST(:counted AS text[]), CAST(:counts AS integer[]))
    AS given (id, version, watermark, message_id, counted, count)
"""


def _count_dialogs(also: str) -> DirectQuery:
    # A row that somebody holds is left out: nobody waits for the dialog of another turn.
    return _of_given(
        f"""
        WITH given AS ({_GIVEN}), locked AS (
            SELECT dialogs.id FROM dialogs JOIN given
                ON dialogs.id = given.id AND CAST(dialogs.xmin AS text) = given.version
            FOR NO KEY UPDATE OF dialogs SKIP LOCKED
        )
        UPDATE dialogs SET last_image_generation_at = given.watermark,
            image_last_message_id = given.message_id,
            image_counted_messages = CAST(given.counted AS bigint[]){also}
        FROM given JOIN locked ON locked.id = given.id
        WHERE dialogs.id = given.id
        RETURNING dialogs.id
        """  # noqa: S608 (our own words)
    )


def _of_given(sql: str) -> DirectQuery:
    numbers, words = ARRAY(BigInteger), ARRAY(Text)
    return DirectQuery(
        text(sql).bindparams(
            bindparam("dialog_ids", type_=numbers),
            bindparam("versions", type_=words),
            bindparam("watermarks", type_=ARRAY(Integer)),
            bindparam("message_ids", type_=numbers),
            bindparam("counted", type_=words),
            bindparam("counts", type_=ARRAY(Integer)),
        )
    )


COUNT_DIALOGS_BESIDE_THE_BOT = _count_dialogs("")
COUNT_DIALOGS_OURS = _count_dialogs(", message_count = given.count")
# In the order of their ids, so that two hooks never wait for each other.
ADD_DIALOGS = _of_given(
    f"""
    INSERT INTO dialogs (id, message_count, last_image_generation_at, image_last_message_id,
        image_counted_messages)
    SELECT id, count, watermark, message_id, CAST(counted AS bigint[]) FROM ({_GIVEN}) AS given
    WHERE (SELECT set_config('lock_timeout', '{LOCK_TIMEOUT_MS // 5}', true)) <> ''
    ORDER BY id
    ON CONFLICT DO NOTHING
    RETURNING id
    """  # noqa: S608 (our own words)
)
LAST_OF_MESSAGE = LAST_AUTOMATIC.where(ImageRequest.reply_to_message_id == bindparam("message_id"))
