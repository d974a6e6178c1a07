"""What a request needs to end for sure: crashes counted, an age of its own, its scene."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

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
    # Requests of before must not become young again.
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
