"""The status message of a request, whether its chat was told of its end, and sends that are edits."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

REQUESTS = "image_requests"


def upgrade() -> None:
    op.add_column(REQUESTS, sa.Column("status_message_id", sa.BigInteger))
    op.add_column(
        REQUESTS,
        sa.Column(
            "status_is_protected", sa.Boolean, server_default=sa.text("false"), nullable=False
        ),
    )
    op.add_column(REQUESTS, sa.Column("chat_told_at", sa.DateTime(timezone=True)))
    # What has ended before is not told any more. A worker tells what ended within minutes.
    op.execute(
        f"UPDATE {REQUESTS} SET chat_told_at = clock_timestamp()"  # noqa: S608 (our own name)
        " WHERE finished_at > clock_timestamp() - interval '1 hour'"
    )
    op.add_column(
        "deliveries",
        sa.Column("is_edit", sa.Boolean, server_default=sa.text("false"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("deliveries", "is_edit")
    for column in ("chat_told_at", "status_is_protected", "status_message_id"):
        op.drop_column(REQUESTS, column)
