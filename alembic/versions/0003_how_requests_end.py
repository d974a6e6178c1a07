"""Columns by which every request ends: a count of crashes, the time it was queued, and its scene."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Written out, not imported: a migration must stay as it is when the models change.
OURS = "chatflow-imagegen"
TABLE = "image_requests"


def upgrade() -> None:
    op.add_column(
        TABLE, sa.Column("crashes", sa.Integer, server_default=sa.text("0"), nullable=False)
    )
    op.add_column(TABLE, sa.Column("scene", JSONB, nullable=True))
    op.add_column(
        TABLE,
        sa.Column(
            "queued_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
    )
    # The default is now(), with which old requests would count as new ones.
    op.execute(sa.text(f"UPDATE {TABLE} SET queued_at = created_at"))  # noqa: S608 (a constant)
    _create_index("ix_image_requests_user_id_created_at", ["user_id", "created_at"])
    _create_index("ix_image_requests_finished_at", ["finished_at"])


def downgrade() -> None:
    op.drop_index("ix_image_requests_finished_at", TABLE)
    op.drop_index("ix_image_requests_user_id_created_at", TABLE)
    op.drop_column(TABLE, "queued_at")
    op.drop_column(TABLE, "scene")
    op.drop_column(TABLE, "crashes")


def _create_index(name: str, columns: list[str]) -> None:
    op.create_index(name, TABLE, columns)
    op.execute(f"COMMENT ON INDEX {name} IS '{OURS}'")
