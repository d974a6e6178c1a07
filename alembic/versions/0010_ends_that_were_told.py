"""Which ends of requests the bot was told of, and an index by the photo in the chat."""

import sqlalchemy as sa
from alembic import op

from imagegen.db.migrations import MigrationStopped

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Written out, not imported: a migration must stay as it is when the models change.
OURS = "chatflow-imagegen"
REQUESTS = "image_requests"
TABLE = "end_listening"


def upgrade() -> None:
    _stop_at_a_name_clash()
    op.create_table(
        TABLE,
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column(
            "since",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_end_listening")),
        comment=OURS,
    )
    op.add_column(REQUESTS, sa.Column("told_end", sa.DateTime(timezone=True)))
    op.add_column(REQUESTS, sa.Column("end_leased_until", sa.DateTime(timezone=True)))
    _create_index(
        "ix_image_requests_untold_end", ["finished_at"], "finished_at IS DISTINCT FROM told_end"
    )
    _create_index(
        "ix_image_requests_photo",
        ["chat_id", "telegram_message_id"],
        "telegram_message_id IS NOT NULL",
    )


def downgrade() -> None:
    comment = op.get_bind().scalar(
        sa.text("SELECT obj_description(to_regclass(:name), 'pg_class')"), {"name": TABLE}
    )
    if comment != OURS:
        raise MigrationStopped(
            f"the table {TABLE} does not carry the comment {OURS}, so it may not be ours to drop"
        )
    op.drop_index("ix_image_requests_photo", REQUESTS)
    op.drop_index("ix_image_requests_untold_end", REQUESTS)
    op.drop_column(REQUESTS, "end_leased_until")
    op.drop_column(REQUESTS, "told_end")
    op.drop_table(TABLE)


def _create_index(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, REQUESTS, columns, postgresql_where=sa.text(where))
    op.execute(f"COMMENT ON INDEX {name} IS '{OURS}'")


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
