"""Stored pictures that are to be erased, and an index that says who else names one."""

import sqlalchemy as sa
from alembic import op

from imagegen.db.migrations import MigrationStopped

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Written out, as everything here: a migration stays what it was when the models move on.
OURS = "chatflow-imagegen"
TABLE = "forgotten_images"
INDEX = "ix_image_requests_image"


def upgrade() -> None:
    _stop_at_a_name_clash()
    op.create_table(
        TABLE,
        sa.Column("image", sa.Text, nullable=False),
        sa.Column(
            "forgotten_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.PrimaryKeyConstraint("image", name=op.f("pk_forgotten_images")),
        comment=OURS,
    )
    op.create_index(
        INDEX, "image_requests", ["image"], postgresql_where=sa.text("image IS NOT NULL")
    )
    op.execute(f"COMMENT ON INDEX {INDEX} IS '{OURS}'")
    # What was erased before stood there as JSON's null, which is not nothing.
    op.execute("UPDATE image_requests SET conversation = NULL WHERE conversation = 'null'::jsonb")


def downgrade() -> None:
    op.drop_index(INDEX, "image_requests")
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
