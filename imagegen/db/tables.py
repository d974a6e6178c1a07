"""The tables that only the worker uses.

Delivery, StrayPrompt, ComfyuiHost, ForgottenImage, ForgottenMessage, PauseEntry
and SafetyAuditEntry.

They are on the same MetaData as the tables of the hook, so that Alembic sees all of them.
Every table carries the comment OURS, by which the migrations know what they may drop.
"""

import enum
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from chatflow_hook.tables import OURS, Base


class SendOutcome(enum.StrEnum):
    """What became of one send.

    `sending`: the call is under way, or its worker was killed. `sent`: Telegram has accepted it.
    `not_sent`: it certainly did not arrive. `unknown`: it may have arrived. `refused`: Telegram has
    rejected it.
    """

    SENDING = "sending"
    SENT = "sent"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"
    REFUSED = "refused"


class Delivery(Base):
    """One attempt to send one picture, committed as `sending` before Telegram is called."""

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint(
            f"outcome IN ({', '.join(repr(outcome.value) for outcome in SendOutcome)})",
            name="outcome",
        ),
        UniqueConstraint("request_id", "attempt"),
        {"comment": OURS},
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    request_id: Mapped[UUID] = mapped_column(ForeignKey("image_requests.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    outcome: Mapped[str] = mapped_column(Text, server_default=text("'sending'"))
    message_id: Mapped[int | None] = mapped_column(BigInteger)
    # Of an album the messages after the first one.
    album_message_ids: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))
    # The picture takes the place of a status message: to repeat that is harmless.
    is_edit: Mapped[bool] = mapped_column(server_default=text("false"))
    error_sentence: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class StrayPrompt(Base):
    """A prompt that may still be on a host and has to be removed there.

    It has no foreign key because it outlives its request.
    """

    __tablename__ = "stray_prompts"
    __table_args__ = {"comment": OURS}  # noqa: RUF012 (the name and form that SQLAlchemy reads)

    prompt_id: Mapped[UUID] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(Text)
    left_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class HostUse(enum.StrEnum):
    """How the workers use a host.

    `draining`: what runs on it ends, and nothing new begins. `removed`: the same, and then it is no
    host of ours any more.
    """

    ACTIVE = "active"
    DRAINING = "draining"
    REMOVED = "removed"


class ComfyuiHost(Base):
    """An operator's order for one host, given with `imagegen hosts`; all workers obey it.

    A host without a row is used if COMFYUI_HOSTS names it.
    """

    __tablename__ = "comfyui_hosts"
    __table_args__ = (
        CheckConstraint(f"use IN ({', '.join(repr(use.value) for use in HostUse)})", name="use"),
        {"comment": OURS},
    )

    # As in logs and in the rows of requests: host, port and path.
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    # NULL if the host was never added, so that only COMFYUI_HOSTS says where it is.
    address: Mapped[str | None] = mapped_column(Text)
    use: Mapped[str] = mapped_column(Text)
    # The prompts that run on a removed host are cancelled.
    cancels_prompts: Mapped[bool] = mapped_column(server_default=text("false"))
    note: Mapped[str | None] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class ForgottenImage(Base):
    """A stored image whose row was erased. The worker erases it if no other row names it.

    The row is written in the transaction that erases the request's row, which may be one of the
    bot: the bot never opens the image store.
    """

    __tablename__ = "forgotten_images"
    __table_args__ = {"comment": OURS}  # noqa: RUF012 (the name and form that SQLAlchemy reads)

    image: Mapped[str] = mapped_column(Text, primary_key=True)
    forgotten_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


class ForgottenMessage(Base):
    """A picture that arrived in a chat after its request was erased. The worker deletes it there.

    Nothing else is kept of it, since its user was forgotten.
    """

    __tablename__ = "forgotten_messages"
    __table_args__ = {"comment": OURS}  # noqa: RUF012 (the name and form that SQLAlchemy reads)

    chat_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    message_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    noted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class SafetyAuditEntry(Base):
    """A finding of the content screen: which rule, whose request and when, but never the text.

    It has no foreign key because it outlives its request. It is erased with its user, and when it
    is as old as requests may become.
    """

    __tablename__ = "safety_audit"
    __table_args__ = (
        # A request that another job takes up is screened again, and finds the same.
        UniqueConstraint("request_id", "stage", "rule", "text_hash"),
        Index("ix_safety_audit_user_id", "user_id"),
        Index("ix_safety_audit_found_at", "found_at"),
        {"comment": OURS},
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    request_id: Mapped[UUID]
    user_id: Mapped[int] = mapped_column(BigInteger)
    stage: Mapped[str] = mapped_column(Text)
    verdict: Mapped[str] = mapped_column(Text)
    rule: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    text_hash: Mapped[str] = mapped_column(Text)
    found_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class PauseEntry(Base):
    """A persona or a kind whose queued requests wait until an operator resumes it.

    `scope` is `persona` or `kind`; one that only a newer version knows is left to that one.
    """

    __tablename__ = "imagegen_pauses"
    __table_args__ = {"comment": OURS}  # noqa: RUF012 (the name and form that SQLAlchemy reads)

    scope: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    paused_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("clock_timestamp()")
    )
