"""The tables for requests and deliveries; and dialogs, or the columns that the bot's own table lacks."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from imagegen.db.migrations import MigrationStopped
from imagegen.db.revisions import VERSION_TABLE

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out, not imported: a migration must stay as it is when the models change.
OURS = "chatflow-imagegen"
OPEN = "state IN ('queued', 'drawing', 'drawn', 'delivering')"


def upgrade() -> None:
    _stop_at_a_name_clash()
    columns = _columns_of_the_bots_dialogs()
    op.execute(f"COMMENT ON TABLE {VERSION_TABLE} IS '{OURS}'")
    _create_image_requests()
    _create_deliveries()
    # Last, so that the chat's own table is locked only until the commit.
    if columns is None:
        _create_dialogs()
    else:
        _add_to_dialogs(columns)


def downgrade() -> None:
    # Lock in the same order as all other code: the dialog, then the request.
    if _comment_on("dialogs") == OURS:
        op.drop_table("dialogs")
    else:
        _take_from_dialogs()
    for table in ("deliveries", "image_requests"):
        if _comment_on(table) != OURS:
            raise MigrationStopped(
                f"the table {table} does not carry the comment {OURS}, so it may not be ours to drop"
            )
        op.drop_table(table)


def _added_to_dialogs() -> list[sa.Column[Any]]:
    return [
        sa.Column(
            "message_count", sa.Integer, server_default=sa.text("0"), nullable=False, comment=OURS
        ),
        sa.Column("last_image_generation_at", sa.Integer, comment=OURS),
        sa.Column("image_last_message_id", sa.BigInteger, comment=OURS),
    ]


def _create_dialogs() -> None:
    op.create_table(
        "dialogs",
        sa.Column("id", sa.BigInteger, autoincrement=False, nullable=False),
        *_added_to_dialogs(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dialogs")),
        comment=OURS,
    )


def _add_to_dialogs(present: set[str]) -> None:
    for column in _added_to_dialogs():
        if column.name not in present:
            op.add_column("dialogs", column)


def _take_from_dialogs() -> None:
    ours = op.get_bind().scalars(
        sa.text(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass('dialogs')"
            " AND attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) = :ours"
        ),
        {"ours": OURS},
    )
    for column in ours.all():
        op.drop_column("dialogs", column)


def _create_image_requests() -> None:
    op.create_table(
        "image_requests",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, server_default=sa.text("'queued'"), nullable=False),
        sa.Column("dialog_id", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("chat_id", sa.BigInteger),
        sa.Column("chat_type", sa.Text),
        sa.Column("persona", sa.Text, nullable=False),
        sa.Column("message_count", sa.Integer, nullable=False),
        sa.Column("conversation", JSONB),
        sa.Column("language", sa.Text),
        sa.Column("rating", sa.Text, server_default=sa.text("'safe'"), nullable=False),
        sa.Column("story", sa.Text),
        sa.Column("caption", sa.Text),
        sa.Column("has_spoiler", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("reply_to_message_id", sa.BigInteger),
        sa.Column("message_thread_id", sa.BigInteger),
        sa.Column("claim", sa.Uuid),
        sa.Column("attempts", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.Column("draw", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.Column("host", sa.Text),
        sa.Column("prompt_id", sa.Uuid),
        sa.Column("seed", sa.BigInteger),
        sa.Column("image", sa.Text),
        sa.Column("image_url", sa.Text),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("telegram_message_id", sa.BigInteger),
        sa.Column("telegram_file_id", sa.Text),
        sa.Column("error_code", sa.Text),
        sa.Column("error_sentence", sa.Text),
        _time("created_at", server_default=sa.func.now(), nullable=False),
        _time("updated_at", server_default=sa.func.now(), nullable=False),
        _time("finished_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_requests")),
        sa.CheckConstraint(
            "state IN ('queued', 'drawing', 'drawn', 'delivering', 'delivered', 'failed',"
            " 'refused', 'expired', 'cancelled')",
            name=op.f("ck_image_requests_state"),
        ),
        sa.CheckConstraint("kind IN ('automatic')", name=op.f("ck_image_requests_kind")),
        comment=OURS,
    )
    _index(
        "uq_image_requests_open_automatic",
        ["dialog_id"],
        unique=True,
        postgresql_where=sa.text(f"kind = 'automatic' AND {OPEN}"),
    )
    _index("ix_image_requests_dialog_id_created_at", ["dialog_id", "created_at"])
    _index("ix_image_requests_open", ["created_at"], postgresql_where=sa.text(OPEN))


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger, autoincrement=True, nullable=False),
        sa.Column("request_id", sa.Uuid, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text, server_default=sa.text("'sending'"), nullable=False),
        sa.Column("message_id", sa.BigInteger),
        sa.Column("error_sentence", sa.Text),
        _time("started_at", server_default=sa.func.now(), nullable=False),
        _time("finished_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["image_requests.id"],
            name=op.f("fk_deliveries_request_id_image_requests"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("request_id", "attempt", name=op.f("uq_deliveries_request_id_attempt")),
        sa.CheckConstraint(
            "outcome IN ('sending', 'sent', 'not_sent', 'unknown', 'refused')",
            name=op.f("ck_deliveries_outcome"),
        ),
        comment=OURS,
    )


def _time(name: str, **details: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), **details)


def _index(name: str, columns: list[str], **details: Any) -> None:
    op.create_index(name, "image_requests", columns, **details)
    op.execute(f"COMMENT ON INDEX {name} IS '{OURS}'")


def _stop_at_a_name_clash() -> None:
    for table in ("image_requests", "deliveries"):
        if _kind_of(table) is not None:
            raise MigrationStopped(
                f"there is a table {table} already that these migrations did not make; rename it, "
                "or give us another schema with options=-csearch_path=… in DATABASE_URL"
            )


def _columns_of_the_bots_dialogs() -> set[str] | None:
    """Return the names of the columns of `dialogs`, or None if there is no such table.

    Raises:
        MigrationStopped: it has no id, or a column of ours with another type.
    """
    kind = _kind_of("dialogs")
    if kind is None:
        _stop_at_a_dialogs_elsewhere()
        return None
    if kind not in ("r", "p"):
        raise MigrationStopped("dialogs is a view or something else that is not a table")
    types = _types_of_dialogs()
    if "id" not in types:
        raise MigrationStopped("the table dialogs has no column id")
    for column in ("id", *(column.name for column in _added_to_dialogs())):
        if types.get(column, "integer") not in ("smallint", "integer", "bigint"):
            raise MigrationStopped(
                f"dialogs.{column} is {types[column]} and has to be smallint, integer or bigint"
            )
    return set(types)


def _stop_at_a_dialogs_elsewhere() -> None:
    elsewhere = op.get_bind().scalar(
        sa.text(
            "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass('dialogs')"
        )
    )
    if elsewhere is not None:
        raise MigrationStopped(
            f"the table dialogs is in the schema {elsewhere}, which has to come first in search_path"
        )


def _types_of_dialogs() -> dict[str, str]:
    rows = op.get_bind().execute(
        sa.text(
            "SELECT attname::text, format_type(atttypid, atttypmod) AS type FROM pg_attribute"
            " WHERE attrelid = to_regclass('dialogs') AND attnum > 0 AND NOT attisdropped"
        )
    )
    return {row.attname: row.type for row in rows}


def _kind_of(relation: str) -> str | None:
    """Return pg_class.relkind of a relation in the current schema; None if there is no such relation."""
    kind: str | None = op.get_bind().scalar(
        sa.text(
            "SELECT relkind::text FROM pg_class"
            " WHERE relname = :name AND relnamespace = current_schema()::regnamespace"
        ),
        {"name": relation},
    )
    return kind


def _comment_on(table: str) -> str | None:
    comment: str | None = op.get_bind().scalar(
        sa.text("SELECT obj_description(to_regclass(:name), 'pg_class')"), {"name": table}
    )
    return comment
