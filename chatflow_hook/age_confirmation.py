"""Ages: who has confirmed to be of age, to which text, until they revoke it."""

from sqlalchemy import Delete, Select, Update, delete, func, select, update
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


def is_confirmed(user_id: int, *, text_version: str) -> Select[bool]:
    """Return the query whether a user has confirmed the present text, and not revoked it."""
    there = select(AgeConfirmation.user_id).where(
        AgeConfirmation.user_id == user_id,
        AgeConfirmation.text_version == text_version,
        AgeConfirmation.revoked_at.is_(None),
    )
    return select(there.exists())


def erase(user_id: int) -> Delete:
    """Return the statement that erases what is known of a user's age."""
    return delete(AgeConfirmation).where(AgeConfirmation.user_id == user_id)
