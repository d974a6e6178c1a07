"""A table for messages that arrived after their user was forgotten, and are to be deleted."""

import sqlalchemy as sa
from alembic import op

from imagegen.db.migrations import MigrationStopped

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Written out, not imported: a migration must stay as it is when the models change.
OURS = "chatflow-imagegen"
TABLE = "forgotten_messages"


def upgrade() -> None:
    _stop_at_a_name_clash()
    op.create_table(
        TABLE,
        sa.Column("chat_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("message_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column(
            "noted_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.PrimaryKeyConstraint("chat_id", "message_id", name=op.f("pk_forgotten_messages")),
        comment=OURS,
    )


def downgrade() -> None:
    comment = op.get_bind().scalar(
        sa.text("SELECT obj_description(to_regclass(:name), 'pg_class')"), {"name": TABLE}
    )
    if comment != OURS:
        raise MigrationStopped(
            f"the table {TABLE} does not carry the comment {OURS}, so it may not be ours to drop"
        )
    op.drop_table(TABLE)


def _stop_at_a_name_clash() -> None:
    is_there = op.get_bind().scalar(
        sa.text(
            "SELECT count(*) FROM pg_class"
            " WHERE relname = :name AND relnamespace = current_schema()::regnamespace"
        ),
        {"name": TABLE},
    )
    if is_there:
        raise MigrationStopped(
            f"there is a table {TABLE} already that these migrations did not make; rename it, "
            "or give us another schema with options=-csearch_path=… in DATABASE_URL"
        )
