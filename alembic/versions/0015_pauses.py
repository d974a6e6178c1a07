"""A table for personas and kinds that an operator has paused, and an index of what ended badly."""

import sqlalchemy as sa
from alembic import op

from imagegen.db.migrations import MigrationStopped

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# Written out, not imported: a migration must stay as it is when the models change.
OURS = "chatflow-imagegen"
TABLE = "imagegen_pauses"
INDEX = "ix_image_requests_ended_badly"


def upgrade() -> None:
    _stop_at_a_name_clash()
    op.create_table(
        TABLE,
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column(
            "paused_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("scope", "name", name=op.f("pk_imagegen_pauses")),
        comment=OURS,
    )
    op.create_index(
        INDEX,
        "image_requests",
        ["finished_at"],
        postgresql_where=sa.text("state IN ('failed', 'refused', 'expired')"),
    )
    op.execute(f"COMMENT ON INDEX {INDEX} IS '{OURS}'")


def downgrade() -> None:
    comment = op.get_bind().scalar(
        sa.text("SELECT obj_description(to_regclass(:name), 'pg_class')"), {"name": TABLE}
    )
    if comment != OURS:
        raise MigrationStopped(
            f"the table {TABLE} does not carry the comment {OURS}, so it may not be ours to drop"
        )
    op.drop_index(INDEX, "image_requests")
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
