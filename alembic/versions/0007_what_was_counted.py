"""Which messages of a dialog were counted, and which claims belong to jobs that only wait."""

import sqlalchemy as sa
from alembic import op

from imagegen.db.migrations import MigrationStopped

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Written out, not imported: a migration must stay as it is when the models change.
OURS = "chatflow-imagegen"
COUNTED = "image_counted_messages"

# The dialog is locked before its request, in both directions, as by all other code.


def upgrade() -> None:
    type_, _ = _type_and_comment()
    if type_ is None:
        op.add_column("dialogs", sa.Column(COUNTED, sa.ARRAY(sa.BigInteger), comment=OURS))
    elif type_ != "bigint[]":
        raise MigrationStopped(f"dialogs.{COUNTED} is {type_} and has to be bigint[]")
    op.add_column("image_requests", sa.Column("waiting_claim", sa.Uuid, nullable=True))


def downgrade() -> None:
    _, comment = _type_and_comment()
    if comment == OURS:
        op.drop_column("dialogs", COUNTED)
    op.drop_column("image_requests", "waiting_claim")


def _type_and_comment() -> tuple[str | None, str | None]:
    """Return the type and the comment of the column of `dialogs`; None for each that is not there."""
    row = (
        op.get_bind()
        .execute(
            sa.text(
                "SELECT format_type(atttypid, atttypmod), col_description(attrelid, attnum)"
                " FROM pg_attribute WHERE attrelid = to_regclass('dialogs') AND attname = :name"
                " AND NOT attisdropped"
            ),
            {"name": COUNTED},
        )
        .one_or_none()
    )
    return (None, None) if row is None else (row[0], row[1])
