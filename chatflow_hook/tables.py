"""The tables that bot and worker share: dialogs, requests, ends, confirmed ages, what was learnt."""

import enum
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    DateTime,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    any_,
    func,
    literal,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapped, mapped_column

# The migrations set this as the comment of each table and column that they add, so that the hook
# and a downgrade can tell them from the bot's own.
OURS = "chatflow-imagegen"

# The id of the user and of the dialog of covers; Telegram has no such user.
NOBODY = 0


class Base(DeclarativeBase):
    """The registry of all tables of this project; the worker adds its own to it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        },
    )


class State(enum.StrEnum):
    """The state of a request. The first four are open; the others are final."""

    QUEUED = "queued"
    DRAWING = "drawing"
    DRAWN = "drawn"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    FAILED = "failed"
    REFUSED = "refused"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Whether the request may still become a picture."""
        return self in OPEN


OPEN = frozenset({State.QUEUED, State.DRAWING, State.DRAWN, State.DELIVERING})


def is_open(state: str, finished_at: datetime | None) -> bool:
    """Whether a request is open: by its state, or by its end if only a newer version knows that."""
    return state in OPEN if state in set(State) else finished_at is None


@dataclass(frozen=True, kw_only=True)
class _KindRules:
    moves_watermark: bool = False
    has_dialog: bool = True
    counts_against_quota: bool = True
    is_asked_by_person: bool = False
    is_for_message: bool = False
    is_one_per_dialog: bool = False
    is_document: bool = False


class Kind(enum.StrEnum):
    """Why a picture is made.

    A new kind needs a member here, its row in `_KIND_RULES`, and a migration of the column's check.
    All other code asks these properties, except the code that inserts or looks up requests of one kind.
    """

    AUTOMATIC = "automatic"
    # The user asked for it.
    ASKED = "asked"
    # Another picture of the scene of a delivered one.
    VARIATION = "variation"
    # A picture of the persona that is drawn ahead, and sent at the start of a dialog.
    COVER = "cover"
    # The file of a delivered picture, sent as a document.
    FILE = "file"

    @property
    def moves_watermark(self) -> bool:
        """Whether the dialog's next automatic picture is counted from this one."""
        return _KIND_RULES[self].moves_watermark

    @property
    def has_dialog(self) -> bool:
        """Whether it shows a moment of a dialog; if not, it is the persona's own picture."""
        return _KIND_RULES[self].has_dialog

    @property
    def counts_against_quota(self) -> bool:
        """Whether it counts for the limit a day."""
        return _KIND_RULES[self].counts_against_quota

    @property
    def is_asked_by_person(self) -> bool:
        """Whether a user requested it explicitly; it then counts for the limit a minute."""
        return _KIND_RULES[self].is_asked_by_person

    @property
    def is_for_message(self) -> bool:
        """Whether the user's newest message asks for it."""
        return _KIND_RULES[self].is_for_message

    @property
    def is_one_per_dialog(self) -> bool:
        """Whether a dialog has at most one open request of this kind.

        The partial unique index of image_requests holds it, and names the kind itself.
        """
        return _KIND_RULES[self].is_one_per_dialog

    @property
    def is_document(self) -> bool:
        """Whether a picture that exists is sent as a file; nothing is drawn for it."""
        return _KIND_RULES[self].is_document


_KIND_RULES = {
    Kind.AUTOMATIC: _KindRules(moves_watermark=True, is_one_per_dialog=True),
    Kind.ASKED: _KindRules(moves_watermark=True, is_asked_by_person=True, is_for_message=True),
    Kind.VARIATION: _KindRules(is_asked_by_person=True),
    Kind.COVER: _KindRules(has_dialog=False, counts_against_quota=False),
    Kind.FILE: _KindRules(counts_against_quota=False, is_document=True),
}


def kinds_that(rule: Callable[[Kind], bool]) -> list[Kind]:
    """Return the kinds for which a rule holds, as a list for a query."""
    return [kind for kind in Kind if rule(kind)]


def is_any_of(
    column: InstrumentedAttribute[Any] | ColumnElement[Any], values: Collection[Any]
) -> ColumnElement[bool]:
    """Return the condition that a column has one of these values, for any number of values.

    They are one parameter together. `column.in_` makes each of them a parameter, and a statement
    may have at most 32,767 parameters.
    """
    return column == any_(literal(list(values), ARRAY(column.type)))


def _one_of(column: str, values: type[enum.StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(value.value) for value in values)})"


class Dialog(Base):
    """One conversation of one user with one persona.

    If the bot has a table `dialogs` of its own, this class maps to that table. So it has only the
    columns that such a table has anyway or that the migrations can add to it.
    """

    __tablename__ = "dialogs"
    __table_args__ = {"comment": OURS}  # noqa: RUF012 (the name and form that SQLAlchemy reads)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    # The number of user messages so far, including the current one.
    message_count: Mapped[int] = mapped_column(server_default=text("0"), comment=OURS)
    # The watermark: message_count of the last delivered picture.
    last_image_generation_at: Mapped[int | None] = mapped_column(comment=OURS)
    # The id of the Telegram message that was counted last; a hook of an older version reads it.
    image_last_message_id: Mapped[int | None] = mapped_column(BigInteger, comment=OURS)
    # The messages that were counted lately, the newest last, so that an update delivered twice
    # counts once: Telegram's id of each, or minus its count if the bot gave no id.
    image_counted_messages: Mapped[list[int] | None] = mapped_column(
        ARRAY(BigInteger), comment=OURS
    )


class ImageRequest(Base):
    """The request of one picture, from the trigger to its end; the id is also the arq job id."""

    __tablename__ = "image_requests"
    __table_args__ = (
        CheckConstraint(_one_of("state", State), name="state"),
        CheckConstraint(_one_of("kind", Kind), name="kind"),
        # At most one automatic picture of a dialog is under way.
        Index(
            "uq_image_requests_open_automatic",
            "dialog_id",
            unique=True,
            postgresql_where=text(
                "kind = 'automatic' AND state IN ('queued', 'drawing', 'drawn', 'delivering')"
            ),
        ),
        Index("ix_image_requests_dialog_id_created_at", "dialog_id", "created_at"),
        Index("ix_image_requests_user_id_created_at", "user_id", "created_at"),
        Index("ix_image_requests_finished_at", "finished_at"),
        # The newest requests, and how many there are by state and persona.
        Index(
            "ix_image_requests_newest",
            text("created_at DESC"),
            "id",
            postgresql_include=["state", "persona"],
        ),
        # What loses its conversation or its image when its time is over.
        Index(
            "ix_image_requests_ended_with_conversation",
            "finished_at",
            postgresql_where=text("conversation IS NOT NULL AND finished_at IS NOT NULL"),
        ),
        Index(
            "ix_image_requests_ended_with_image",
            "finished_at",
            postgresql_where=text("image IS NOT NULL AND finished_at IS NOT NULL"),
        ),
        # Who was sent an image last: a cover is sent many thousand times.
        Index(
            "ix_image_requests_sent_image",
            "image",
            "telegram_bot_id",
            "created_at",
            postgresql_where=text("telegram_file_id IS NOT NULL"),
        ),
        # What an operator looks for.
        Index(
            "ix_image_requests_ended_badly",
            "finished_at",
            postgresql_where=text("state IN ('failed', 'refused', 'expired')"),
        ),
        # The requests that the buttons of a picture have brought.
        Index(
            "ix_image_requests_pressed_on",
            "pressed_on",
            postgresql_where=text("pressed_on IS NOT NULL"),
        ),
        Index(
            "ix_image_requests_reported_at",
            "reported_at",
            postgresql_where=text("reported_at IS NOT NULL"),
        ),
        # Ends that the bot was not told of yet.
        Index(
            "ix_image_requests_untold_end",
            "finished_at",
            postgresql_where=text("finished_at IS DISTINCT FROM told_end"),
        ),
        # To find a request by its photo.
        Index(
            "ix_image_requests_photo",
            "chat_id",
            "telegram_message_id",
            postgresql_where=text("telegram_message_id IS NOT NULL"),
        ),
        # Images are stored by the hash of their bytes, so several rows may name the same one.
        Index("ix_image_requests_image", "image", postgresql_where=text("image IS NOT NULL")),
        Index("ix_image_requests_album_images", "album_images", postgresql_using="gin"),
        Index(
            "ix_image_requests_cache_key",
            "cache_key",
            postgresql_where=text("cache_key IS NOT NULL"),
        ),
        Index(
            "ix_image_requests_open",
            "created_at",
            postgresql_where=text("state IN ('queued', 'drawing', 'drawn', 'delivering')"),
        ),
        {"comment": OURS},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default=text("'queued'"))

    # Whose picture. No foreign key: `dialogs` may be the bot's table, which may delete its rows.
    dialog_id: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(BigInteger)
    chat_id: Mapped[int | None] = mapped_column(BigInteger)
    chat_type: Mapped[str | None] = mapped_column(Text)
    persona: Mapped[str] = mapped_column(Text)
    message_count: Mapped[int]

    # What to draw and how to send it. `conversation` is a Conversation as JSON; it is erased when
    # the request ends, since it holds what people wrote. None is stored as NULL, not as JSON null.
    conversation: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    # What the picture shows, without a word of the chat; kept until the row is purged.
    scene: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    language: Mapped[str | None] = mapped_column(Text)
    rating: Mapped[str] = mapped_column(Text, server_default=text("'safe'"))
    story: Mapped[str | None] = mapped_column(Text)
    # The bot's own; `caption_parse_mode` is its markup, None for plain text.
    caption: Mapped[str | None] = mapped_column(Text)
    caption_parse_mode: Mapped[str | None] = mapped_column(Text)
    has_spoiler: Mapped[bool] = mapped_column(server_default=text("false"))
    # The number of a picture among those of the same message: each has its own seed and prompt.
    variation: Mapped[int] = mapped_column(server_default=text("0"))
    reply_to_message_id: Mapped[int | None] = mapped_column(BigInteger)
    message_thread_id: Mapped[int | None] = mapped_column(BigInteger)

    # The request whose picture has the button that brought this one, and Telegram's id of the press.
    pressed_on: Mapped[UUID | None]
    press_id: Mapped[str | None] = mapped_column(Text)
    # Written when a button of this picture is pressed: it is taken out of the chat.
    hidden_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    reported_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    reported_by: Mapped[int | None] = mapped_column(BigInteger)

    # Written by the worker. `claim` is a fencing token: only a job with the current one may write.
    claim: Mapped[UUID | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    # The claim of a job that only waits for a slot: such a job did not cause a worker's death.
    waiting_claim: Mapped[UUID | None]
    # How many times in a row a job died while the request was in its current state.
    crashes: Mapped[int] = mapped_column(server_default=text("0"))
    draw: Mapped[int] = mapped_column(server_default=text("0"))
    host: Mapped[str | None] = mapped_column(Text)
    prompt_id: Mapped[UUID | None]
    seed: Mapped[int | None] = mapped_column(BigInteger)
    # A hash of all that the graph draws: equal for equal images.
    cache_key: Mapped[str | None] = mapped_column(Text)
    # How long a host took to draw it, and whether it was drawn for an earlier request.
    drawing_seconds: Mapped[float | None]
    is_reused: Mapped[bool] = mapped_column(server_default=text("false"))
    # The effective rating when it was drawn.
    drawn_rating: Mapped[str | None] = mapped_column(Text)

    # The message in the chat that says how far the picture is, until the picture takes its place.
    status_message_id: Mapped[int | None] = mapped_column(BigInteger)
    status_is_protected: Mapped[bool] = mapped_column(server_default=text("false"))
    # When the chat was told that there is no picture, or a status message of it was deleted.
    chat_told_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    # The outcome.
    image: Mapped[str | None] = mapped_column(Text)
    # The other images of an album, all of the size of the first one.
    album_images: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    image_url: Mapped[str | None] = mapped_column(Text)
    width: Mapped[int | None]
    height: Mapped[int | None]
    telegram_message_id: Mapped[int | None] = mapped_column(BigInteger)
    # A file id is valid for one bot only.
    telegram_bot_id: Mapped[int | None] = mapped_column(BigInteger)
    telegram_file_id: Mapped[str | None] = mapped_column(Text)
    album_file_ids: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    # The persona's caption that the picture was sent with.
    persona_caption: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(Text)
    error_sentence: Mapped[str | None] = mapped_column(Text)

    # The span of the bot's turn that brought it, as W3C's `traceparent`; None without a trace.
    traceparent: Mapped[str | None] = mapped_column(Text)

    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    # When it was created or last retried by an operator. Its age is counted from here.
    queued_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    # Written by the bot's `on_end`. `told_end` is the `finished_at` of the end that it has taken: a
    # request that is retried and ends once more is told once more, by any version.
    told_end: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # Until when one process of the bot has this end; then another one may take it.
    end_leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class EndListening(Base):
    """Since when the bot wants to be told of ends; one row, or none if it never did."""

    __tablename__ = "end_listening"
    __table_args__ = {"comment": OURS}  # noqa: RUF012 (the name and form that SQLAlchemy reads)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    since: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("clock_timestamp()")
    )


class AgeConfirmation(Base):
    """A user's confirmation of being of age: when, of which text, and in which language.

    Of a user who was asked and has not confirmed it, only `asked_version` is there, or a
    `revoked_at` besides.
    """

    __tablename__ = "age_confirmations"
    __table_args__ = {"comment": OURS}  # noqa: RUF012 (the name and form that SQLAlchemy reads)

    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    text_version: Mapped[str | None] = mapped_column(Text)
    language: Mapped[str | None] = mapped_column(Text)
    confirmed_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # The version of the text that the bot has asked last; the user is asked once for each.
    asked_version: Mapped[str | None] = mapped_column(Text)


class HashSecret(Base):
    """The secret with which hashes are keyed; one row, made when it is first needed."""

    __tablename__ = "hash_secret"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"), {"comment": OURS})

    id: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True, autoincrement=False, server_default=text("1")
    )
    secret: Mapped[bytes] = mapped_column(LargeBinary)


class SafetyMemory(Base):
    """What was learnt of a user or of a dialog that keeps pictures safe; it has no word of the chat.

    `subject` is `user` or `persona`. `key` is a keyed hash of the user's id, or the id of the dialog
    whose persona was given an age below 18. `until` is when a user may confirm to be of age again;
    that of a dialog has none: it lasts until the dialog begins anew. Of a user who was forgotten
    only `key` and `until` are left.
    """

    __tablename__ = "safety_memory"
    __table_args__ = (
        CheckConstraint("subject IN ('user', 'persona')", name="subject"),
        {"comment": OURS},
    )

    subject: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    rule: Mapped[str | None] = mapped_column(Text)
    version: Mapped[str | None] = mapped_column(Text)
    message_count: Mapped[int | None]
    learnt_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class UnreadTurn(Base):
    """A turn that the worker's screen has to read whole; it is erased when it was read.

    `dialog_id` is None if the dialog has begun anew since. `read_at` is set where the next turn may
    have to be read together with this one; minutes later it is erased too.
    """

    __tablename__ = "unread_turns"
    __table_args__ = (
        Index("ix_unread_turns_dialog_id", "dialog_id"),
        Index("ix_unread_turns_user_id", "user_id"),
        {"comment": OURS},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    dialog_id: Mapped[int | None] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(BigInteger)
    message_count: Mapped[int]
    # A Conversation as JSON, without the bot's own prompt.
    conversation: Mapped[dict[str, Any]] = mapped_column(JSONB)
    noted_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    read_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
