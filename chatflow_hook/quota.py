"""Quota: how many pictures a user may have, and when the next one is allowed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, func, or_, select, text

from chatflow_hook.statement_deadline import Executor
from chatflow_hook.tables import OPEN, ImageRequest, Kind, State, kinds_that

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_ASKED_BY_PERSON = kinds_that(lambda kind: kind.is_asked_by_person)
_COUNTED = kinds_that(lambda kind: kind.counts_against_quota)

# Without this lock, two simultaneous requests of a user could both be the last one allowed.
_LOCK_USER = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('chatflow-imagegen user ' || :user_id, 0))"
)


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What one user may have; 0 is no limit.

    `per_day` counts pictures of every kind but covers, `asked_per_minute` those asked for.
    """

    per_day: int = 0
    asked_per_minute: int = 0


@dataclass(frozen=True, kw_only=True)
class Limited:
    """Returned instead of a request: the user has as many pictures as the limits allow.

    `free_at` is the time, in UTC, from which the next one is allowed.
    """

    free_at: datetime


@dataclass(frozen=True, kw_only=True)
class _Window:
    length: timedelta
    most: int
    kinds: Sequence[Kind]


async def check_quota(
    connection: Executor, user_id: int, *, kind: Kind, quota: Quota
) -> Limited | None:
    """Return Limited if a user has to wait for a picture of this kind, None if it is allowed.

    Only delivered and open requests count, not failed ones. If there is a limit, a lock of the user
    is held until the transaction ends.
    """
    windows = _windows(kind, quota)
    if not windows:
        return None
    await lock_user(connection, user_id)
    times = [await _free_at(connection, user_id, window) for window in windows]
    latest = max((time for time in times if time is not None), default=None)
    return None if latest is None else Limited(free_at=latest)


async def lock_user(connection: Executor, user_id: int) -> None:
    """Lock a user, by id, until the transaction ends; waits while another transaction has the lock."""
    await connection.execute(_LOCK_USER, {"user_id": str(user_id)})


def _windows(kind: Kind, quota: Quota) -> Sequence[_Window]:
    windows = []
    if quota.per_day:
        windows.append(_Window(length=_DAY, most=quota.per_day, kinds=_COUNTED))
    if quota.asked_per_minute and kind.is_asked_by_person:
        most = quota.asked_per_minute
        windows.append(_Window(length=_MINUTE, most=most, kinds=_ASKED_BY_PERSON))
    return windows


async def _free_at(connection: Executor, user_id: int, window: _Window) -> datetime | None:
    """Return when the window has room for one more request; None if it has room now."""
    counts = or_(ImageRequest.state.in_(OPEN), ImageRequest.state == State.DELIVERED)
    query = (
        select(ImageRequest.created_at)
        .where(
            and_(
                ImageRequest.user_id == user_id,
                ImageRequest.created_at > func.statement_timestamp() - window.length,
                ImageRequest.kind.in_(window.kinds),
                counts,
            )
        )
        .order_by(ImageRequest.created_at.desc())
        .offset(window.most - 1)
        .limit(1)
    )
    oldest: datetime | None = (await connection.execute(query)).scalar_one_or_none()
    return None if oldest is None else oldest + window.length
