"""Ages: who has confirmed to be of age, to which text, until they revoke it."""

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

from chatflow_hook.tables import AgeConfirmation


def confirm(user_id: int, *, text_version: str, language: str | None) -> Insert:
    """Return the statement that notes a confirmation; a later one takes an earlier one's place."""
    given = {
        "text_version": text_version,
        "language": language,
        "confirmed_at": func.clock_timestamp(),
        "revoked_at": None,
    }
    return (
        upsert(AgeConfirmation)
        .values(user_id=user_id, **given)
        .on_conflict_do_update(index_elements=["user_id"], set_=given)
    )


def revoke(user_id: int) -> Update:
    """Return the statement that notes that a confirmation does not hold any more."""
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


def erase(user_id: int) -> Delete:
    """Return the statement that erases what is known of a user's age."""
    return delete(AgeConfirmation).where(AgeConfirmation.user_id == user_id)
