"""A table for the secret with which hashes of what people wrote, and of their ids, are keyed."""

import sqlalchemy as sa
from alembic import op

from imagegen.db.migrations import MigrationStopped

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Written out, not imported: a migration must stay as it is when the models change.
OURS = "chatflow-imagegen"
TABLE = "hash_secret"


def upgrade() -> None:
    _stop_at_a_name_clash()
    op.create_table(
        TABLE,
        sa.Column(
            "id", sa.SmallInteger, autoincrement=False, server_default=sa.text("1"), nullable=False
        ),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hash_secret")),
        sa.CheckConstraint("id = 1", name=op.f("ck_hash_secret_one_row")),
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
