"""What was learnt of users and dialogs that keeps pictures safe, and turns that are to be read."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from imagegen.db.migrations import MigrationStopped

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Written out, not imported: a migration must stay as it is when the models change.
OURS = "chatflow-imagegen"
TABLES = ("safety_memory", "unread_turns")


def upgrade() -> None:
    for table in TABLES:
        _stop_at_a_name_clash(table)
    op.create_table(
        "safety_memory",
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=True),
        sa.Column("version", sa.Text, nullable=True),
        sa.Column("message_count", sa.Integer, nullable=True),
        sa.Column("learnt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("subject", "key", name=op.f("pk_safety_memory")),
        sa.CheckConstraint("subject IN ('user', 'persona')", name=op.f("ck_safety_memory_subject")),
        comment=OURS,
    )
    op.create_table(
        "unread_turns",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("dialog_id", sa.BigInteger, nullable=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("message_count", sa.Integer, nullable=False),
        sa.Column("conversation", JSONB, nullable=False),
        sa.Column(
            "noted_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.clock_timestamp(),
            nullable=False,
        ),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unread_turns")),
        comment=OURS,
    )
    for column in ("dialog_id", "user_id"):
        name = f"ix_unread_turns_{column}"
        op.create_index(name, "unread_turns", [column])
        op.execute(f"COMMENT ON INDEX {name} IS '{OURS}'")


def downgrade() -> None:
    for table in reversed(TABLES):
        comment = op.get_bind().scalar(
            sa.text("SELECT obj_description(to_regclass(:name), 'pg_class')"), {"name": table}
        )
        if comment != OURS:
            raise MigrationStopped(
                f"the table {table} does not carry the comment {OURS}, so it may not be ours to drop"
            )
        op.drop_table(table)


def _stop_at_a_name_clash(table: str) -> None:
    is_there = op.get_bind().scalar(
        sa.text(
            "SELECT count(*) FROM pg_class"
            " WHERE relname = :name AND relnamespace = current_schema()::regnamespace"
        ),
        {"name": table},
    )
    if is_there:
        raise MigrationStopped(
            f"there is a table {table} already that these migrations did not make; rename it, "
            "or give us another schema with options=-csearch_path=… in DATABASE_URL"
        )
