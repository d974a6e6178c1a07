"""A table for stored images that are to be erased, and an index to find out who else names one."""

import sqlalchemy as sa
from alembic import op

from imagegen.db.migrations import MigrationStopped

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Written out, not imported: a migration must stay as it is when the models change.
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
    # Earlier versions erased a conversation by writing JSON's null, which is not NULL.
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
