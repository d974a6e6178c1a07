"""Kinds of requests, a cache key, confirmed ages, and findings of the content screen."""

import sqlalchemy as sa
from alembic import op

from imagegen.db.migrations import MigrationStopped

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Written out, not imported: a migration must stay as it is when the models change.
OURS = "chatflow-imagegen"
REQUESTS = "image_requests"
TABLES = ("age_confirmations", "safety_audit")
INDEX = "ix_image_requests_cache_key"
KINDS = "kind IN ('automatic', 'asked', 'variation', 'cover')"
KINDS_BEFORE = "kind IN ('automatic')"


def upgrade() -> None:
    for table in TABLES:
        _stop_at_a_name_clash(table)
    op.add_column(
        REQUESTS, sa.Column("variation", sa.Integer, server_default=sa.text("0"), nullable=False)
    )
    op.add_column(REQUESTS, sa.Column("cache_key", sa.Text, nullable=True))
    op.add_column(REQUESTS, sa.Column("drawing_seconds", sa.Double, nullable=True))
    op.add_column(
        REQUESTS,
        sa.Column("is_reused", sa.Boolean, server_default=sa.text("false"), nullable=False),
    )
    op.add_column(REQUESTS, sa.Column("drawn_rating", sa.Text, nullable=True))
    op.add_column(REQUESTS, sa.Column("telegram_bot_id", sa.BigInteger, nullable=True))
    _allow_kinds(KINDS)
    op.create_index(
        INDEX, REQUESTS, ["cache_key"], postgresql_where=sa.text("cache_key IS NOT NULL")
    )
    op.execute(f"COMMENT ON INDEX {INDEX} IS '{OURS}'")
    op.create_table(
        "age_confirmations",
        sa.Column("user_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("text_version", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=True),
        sa.Column(
            "confirmed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_age_confirmations")),
        comment=OURS,
    )
    op.create_table(
        "safety_audit",
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.Column("request_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("text_hash", sa.Text, nullable=False),
        sa.Column(
            "found_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_safety_audit")),
        sa.UniqueConstraint(
            "request_id",
            "stage",
            "rule",
            "text_hash",
            name=op.f("uq_safety_audit_request_id_stage_rule_text_hash"),
        ),
        comment=OURS,
    )
    for name, columns in (
        ("ix_safety_audit_user_id", ["user_id"]),
        ("ix_safety_audit_found_at", ["found_at"]),
    ):
        op.create_index(name, "safety_audit", columns)
        op.execute(f"COMMENT ON INDEX {name} IS '{OURS}'")


def downgrade() -> None:
    for table in reversed(TABLES):
        comment = op.get_bind().scalar(
            sa.text("SELECT obj_description(to_regclass(:name), 'pg_class')"), {"name": table}
        )
        if comment != OURS:
            raise MigrationStopped(
                f"the table {table} does not carry the comment {OURS}, so it may not be ours to drop"
            )
        op.drop_table(table)
    op.drop_index(INDEX, REQUESTS)
    # An older worker does not know these kinds and could never end their requests.
    op.execute(f"DELETE FROM {REQUESTS} WHERE NOT ({KINDS_BEFORE})")  # noqa: S608 (constants)
    _allow_kinds(KINDS_BEFORE)
    for column in (
        "telegram_bot_id",
        "drawn_rating",
        "is_reused",
        "drawing_seconds",
        "cache_key",
        "variation",
    ):
        op.drop_column(REQUESTS, column)


def _allow_kinds(kinds: str) -> None:
    op.drop_constraint(op.f("ck_image_requests_kind"), REQUESTS, type_="check")
    op.create_check_constraint(op.f("ck_image_requests_kind"), REQUESTS, kinds)


def _stop_at_a_name_clash(table: str) -> None:
    is_there = op.get_bind().scalar(
        sa.text(
            "SELECT count(*) FROM pg_class"
            " WHERE relname = :name AND relnamespace = current_schema()::regnamespace"
        ),
        {"name": table},
    )
    if is_there:
        raise MigrationStopped(
            f"there is a table {table} already that these migrations did not make; rename it, "
            "or give us another schema with options=-csearch_path=… in DATABASE_URL"
        )
