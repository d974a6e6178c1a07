"""Delivery, StrayPrompt, ForgottenImage, SafetyNote: the tables of the worker alone, on the hook's MetaData."""

import enum
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
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
    """What became of one send."""

    SENDING = "sending"
    SENT = "sent"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"
    REFUSED = "refused"


class Delivery(Base):
    """One send of one picture, committed as `sending` before the call is made."""

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
    error_sentence: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class StrayPrompt(Base):
    """A prompt that may still be on a host which did not answer: to be taken off there.

    Without a foreign key: it outlives its request.
    """

    __tablename__ = "stray_prompts"
    __table_args__ = {"comment": OURS}  # noqa: RUF012 (the name and form that SQLAlchemy reads)

    prompt_id: Mapped[UUID] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(Text)
    left_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class ForgottenImage(Base):
    """A stored picture that a row has let go: to be erased if no other row names it.

    Written by whoever erases the row, since the bot does so too and never opens the store.
    """

    __tablename__ = "forgotten_images"
    __table_args__ = {"comment": OURS}  # noqa: RUF012 (the name and form that SQLAlchemy reads)

    image: Mapped[str] = mapped_column(Text, primary_key=True)
    forgotten_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


class SafetyNote(Base):
    """What the screen found in a request's words, by rule: who and when, and never the words.

    Without a foreign key: it outlives its request, though not its user's being forgotten.
    """

    __tablename__ = "safety_audit"
    __table_args__ = (
        # A request that is taken up again is looked at again.
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
