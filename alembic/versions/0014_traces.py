"""The trace to which a request belongs, as W3C's `traceparent`."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

REQUESTS = "image_requests"


def upgrade() -> None:
    op.add_column(REQUESTS, sa.Column("traceparent", sa.Text))


def downgrade() -> None:
    op.drop_column(REQUESTS, "traceparent")
