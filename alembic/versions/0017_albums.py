"""The other images of an album, and the other messages of its send."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from chatflow_hook.tables import OURS

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

REQUESTS = "image_requests"
INDEX = "ix_image_requests_album_images"


def upgrade() -> None:
    op.add_column(REQUESTS, sa.Column("album_images", ARRAY(sa.Text)))
    op.add_column(REQUESTS, sa.Column("album_file_ids", ARRAY(sa.Text)))
    op.add_column("deliveries", sa.Column("album_message_ids", ARRAY(sa.BigInteger)))
    op.create_index(INDEX, REQUESTS, ["album_images"], postgresql_using="gin")
    op.execute(f"COMMENT ON INDEX {INDEX} IS '{OURS}'")


def downgrade() -> None:
    op.drop_index(INDEX, REQUESTS)
    op.drop_column("deliveries", "album_message_ids")
    for column in ("album_file_ids", "album_images"):
        op.drop_column(REQUESTS, column)
