"""Indexes for the statements that read all requests where there are millions."""

import sqlalchemy as sa
from alembic import op

from chatflow_hook.tables import OURS

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

REQUESTS = "image_requests"
NEWEST = "ix_image_requests_newest"
ENDED_WITH = {
    "ix_image_requests_ended_with_conversation": "conversation",
    "ix_image_requests_ended_with_image": "image",
}
SENT_IMAGE = "ix_image_requests_sent_image"


def upgrade() -> None:
    # An operator may have built them before, concurrently, so that nothing waits now.
    op.create_index(
        NEWEST,
        REQUESTS,
        [sa.text("created_at DESC"), "id"],
        postgresql_include=["state", "persona"],
        if_not_exists=True,
    )
    for name, column in ENDED_WITH.items():
        where = sa.text(f"{column} IS NOT NULL AND finished_at IS NOT NULL")
        op.create_index(name, REQUESTS, ["finished_at"], postgresql_where=where, if_not_exists=True)
    op.create_index(
        SENT_IMAGE,
        REQUESTS,
        ["image", "telegram_bot_id", "created_at"],
        postgresql_where=sa.text("telegram_file_id IS NOT NULL"),
        if_not_exists=True,
    )
    for name in (NEWEST, *ENDED_WITH, SENT_IMAGE):
        op.execute(f"COMMENT ON INDEX {name} IS '{OURS}'")


def downgrade() -> None:
    for name in (SENT_IMAGE, *ENDED_WITH, NEWEST):
        op.drop_index(name, REQUESTS)
