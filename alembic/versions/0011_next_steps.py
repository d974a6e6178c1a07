"""Files of pictures, buttons that were pressed, hidden and reported pictures, and captions."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Written out, not imported: a migration must stay as it is when the models change.
OURS = "chatflow-imagegen"
REQUESTS = "image_requests"
KINDS = "kind IN ('automatic', 'asked', 'variation', 'cover', 'file')"
KINDS_BEFORE = "kind IN ('automatic', 'asked', 'variation', 'cover')"
COLUMNS: dict[str, Any] = {
    "pressed_on": sa.Uuid,
    "press_id": sa.Text,
    "hidden_at": sa.DateTime(timezone=True),
    "reported_at": sa.DateTime(timezone=True),
    "reported_by": sa.BigInteger,
    "persona_caption": sa.Text,
    "caption_parse_mode": sa.Text,
}
INDEXES = ("pressed_on", "reported_at")


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column(REQUESTS, sa.Column(name, kind, nullable=True))
    for column in INDEXES:
        name = f"ix_{REQUESTS}_{column}"
        op.create_index(name, REQUESTS, [column], postgresql_where=sa.text(f"{column} IS NOT NULL"))
        op.execute(f"COMMENT ON INDEX {name} IS '{OURS}'")
    _allow_kinds(KINDS)


def downgrade() -> None:
    for column in INDEXES:
        op.drop_index(f"ix_{REQUESTS}_{column}", REQUESTS)
    # An older worker does not know this kind and could never end its requests.
    op.execute(f"DELETE FROM {REQUESTS} WHERE NOT ({KINDS_BEFORE})")  # noqa: S608 (constants)
    _allow_kinds(KINDS_BEFORE)
    for name in reversed(COLUMNS):
        op.drop_column(REQUESTS, name)


def _allow_kinds(kinds: str) -> None:
    op.drop_constraint(op.f("ck_image_requests_kind"), REQUESTS, type_="check")
    op.create_check_constraint(op.f("ck_image_requests_kind"), REQUESTS, kinds)
