"""Which text of the age question a user was asked, also of users who have not confirmed it."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

CONFIRMATIONS = "age_confirmations"


def upgrade() -> None:
    op.add_column(CONFIRMATIONS, sa.Column("asked_version", sa.Text))
    op.alter_column(CONFIRMATIONS, "text_version", nullable=True)
    op.alter_column(CONFIRMATIONS, "confirmed_at", nullable=True)


def downgrade() -> None:
    op.execute(f"DELETE FROM {CONFIRMATIONS} WHERE confirmed_at IS NULL")  # noqa: S608 (our own name)
    op.alter_column(CONFIRMATIONS, "confirmed_at", nullable=False)
    op.alter_column(CONFIRMATIONS, "text_version", nullable=False)
    op.drop_column(CONFIRMATIONS, "asked_version")
