"""SQL of age confirmations: who was asked which text, has confirmed it, and has not revoked it."""

from sqlalchemy import (
    ColumnElement,
    Delete,
    Exists,
    SQLColumnExpression,
    Update,
    delete,
    exists,
    func,
    update,
)
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.dml import ReturningInsert

from chatflow_hook.tables import AgeConfirmation


def confirm(user_id: int, *, text_version: str, language: str | None) -> Insert:
    """Return the statement that stores a confirmation in place of the user's earlier one."""
    columns = {
        "text_version": text_version,
        "language": language,
        "confirmed_at": func.clock_timestamp(),
        "revoked_at": None,
    }
    return (
        upsert(AgeConfirmation)
        .values(user_id=user_id, **columns)
        .on_conflict_do_update(index_elements=["user_id"], set_=columns)
    )


def revoke(user_id: int) -> Update:
    """Return the statement that marks a user's confirmation as revoked."""
    return (
        update(AgeConfirmation)
        .where(AgeConfirmation.user_id == user_id, AgeConfirmation.revoked_at.is_(None))
        .values(revoked_at=func.clock_timestamp())
    )


def is_confirmed(
    user_id: int | SQLColumnExpression[int], *, text_version: str | ColumnElement[str]
) -> Exists:
    """Return the condition that a user has confirmed this version of the text, and not revoked it.

    `user_id` may be a column of the statement in which the condition stands.
    """
    return exists().where(
        AgeConfirmation.user_id == user_id,
        AgeConfirmation.text_version == text_version,
        AgeConfirmation.revoked_at.is_(None),
    )


def claim_question(user_id: int, *, text_version: str) -> ReturningInsert[tuple[int]]:
    """Return the statement that notes that a user is asked now; no row if they were asked before."""
    return (
        upsert(AgeConfirmation)
        .values(user_id=user_id, text_version=None, confirmed_at=None, asked_version=text_version)
        .on_conflict_do_update(
            index_elements=["user_id"],
            set_={"asked_version": text_version},
            where=AgeConfirmation.asked_version.is_distinct_from(text_version),
        )
        .returning(AgeConfirmation.user_id)
    )


def release_question(user_id: int) -> Update:
    """Return the statement that notes that a user is to be asked once more."""
    return (
        update(AgeConfirmation)
        .where(AgeConfirmation.user_id == user_id, AgeConfirmation.asked_version.is_not(None))
        .values(asked_version=None)
    )


def was_asked(user_id: int, *, text_version: str) -> Exists:
    """Return the condition that a user was asked this version of the text."""
    return exists().where(
        AgeConfirmation.user_id == user_id, AgeConfirmation.asked_version == text_version
    )


def erase(user_id: int) -> Delete:
    """Return the statement that erases a user's confirmation, and that they were asked."""
    return delete(AgeConfirmation).where(AgeConfirmation.user_id == user_id)
