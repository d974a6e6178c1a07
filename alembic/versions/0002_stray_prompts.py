"""A table for prompts that were left behind on hosts which could not be reached."""

import sqlalchemy as sa
from alembic import op

from imagegen.db.migrations import MigrationStopped

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Written out, not imported: a migration must stay as it is when the models change.
OURS = "chatflow-imagegen"
TABLE = "stray_prompts"


def upgrade() -> None:
    _stop_at_a_name_clash()
    op.create_table(
        TABLE,
        sa.Column("prompt_id", sa.Uuid, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column(
            "left_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.PrimaryKeyConstraint("prompt_id", name=op.f("pk_stray_prompts")),
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
