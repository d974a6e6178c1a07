"""What the status page reads from PostgreSQL: every query uses an index and has a limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.tables import ImageRequest, State
from chatflow_hook.turn import Rating
from imagegen.db.engine import run_in_transaction, run_statement

# A picture is in time if it is in the chat so soon after the message.
IN_TIME_S = 60.0
CHART_HOURS = 6
BUCKET_S = 900
FAILURE_HOURS = 24

_MOST_SHOWN = 50
_MOST_DRAWING = 500
_MOST_PICTURES = 12
_MOST_REPORTED = 20
# How many ends are read for the charts, the groups of failures and the last pictures.
_MOST_ENDS = 20_000
_MOST_FAILURES = 5_000
_MOST_LATEST = 500

# Written out, so that PostgreSQL sees the condition of the partial index ix_image_requests_open.
_IS_OPEN = text("state IN ('queued', 'drawing', 'drawn', 'delivering')")

_COUNTS = text(
    """
    SELECT state, count(*) AS requests, min(queued_at) AS oldest_at FROM image_requests
    WHERE state IN ('queued', 'drawing', 'drawn', 'delivering') GROUP BY state
    """
)
# In the row of all buckets together `bucket` is NULL. Covers are drawn ahead: nobody waits for them.
_CHART = text(
    """
    SELECT bucket,
           count(*) FILTER (WHERE state = 'delivered') AS delivered,
           count(*) FILTER (WHERE state IN ('failed', 'expired')) AS failed,
           count(*) FILTER (WHERE state = 'delivered' AND seconds <= :in_time_s) AS in_time,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE state = 'delivered')
               AS median_s,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE state = 'delivered')
               AS p95_s
    FROM (
        SELECT state, floor(extract(epoch FROM finished_at) / :bucket_s) * :bucket_s AS bucket,
               extract(epoch FROM finished_at - created_at) AS seconds
        FROM image_requests
        WHERE kind <> 'cover'
          AND finished_at > statement_timestamp() - make_interval(hours => :hours)
        ORDER BY finished_at DESC LIMIT :most
    ) AS ended
    GROUP BY GROUPING SETS ((bucket), ())
    """
)
_FAILURES = text(
    """
    SELECT state, error_code, count(*) AS count, max(finished_at) AS last_at,
           count(*) FILTER (WHERE state = 'failed' AND has_conversation) AS retryable
    FROM (
        SELECT state, coalesce(error_code, '') AS error_code, finished_at,
               conversation IS NOT NULL AS has_conversation
        FROM image_requests
        WHERE state IN ('failed', 'refused', 'expired')
          AND finished_at > statement_timestamp() - make_interval(hours => :hours)
        ORDER BY finished_at DESC LIMIT :most
    ) AS ended
    GROUP BY state, error_code ORDER BY count DESC, state, error_code
    """
)
_FAILED_WITH = text(
    """
    SELECT id FROM image_requests
    WHERE state IN ('failed', 'refused', 'expired') AND state = 'failed'
      AND coalesce(error_code, '') = :code AND conversation IS NOT NULL
      AND finished_at > statement_timestamp() - make_interval(hours => :hours)
    ORDER BY finished_at DESC LIMIT :most
    """
)
_LAST_FAILED = text(
    """
    SELECT id, state, persona, coalesce(error_code, '') AS error_code, finished_at,
           state = 'failed' AND conversation IS NOT NULL AS is_retryable
    FROM image_requests
    WHERE state IN ('failed', 'refused', 'expired')
      AND finished_at > statement_timestamp() - make_interval(hours => :hours)
    ORDER BY finished_at DESC LIMIT :most
    """
)


@dataclass(frozen=True, kw_only=True)
class OpenRequest:
    """An open request.

    `is_claimed`: a job has it. `waits_for_slot`: that job only waits for a slot on a host.
    """

    id: UUID
    kind: str
    state: str
    persona: str
    host: str | None
    queued_at: datetime
    updated_at: datetime
    crashes: int
    is_claimed: bool
    waits_for_slot: bool


@dataclass(frozen=True, kw_only=True)
class OpenRequests:
    """The oldest requests that wait, those that are being drawn, and how many there are by state.

    `now` is the time on PostgreSQL's clock.
    """

    now: datetime
    counts: dict[str, int]
    oldest_at: datetime | None
    waiting: Sequence[OpenRequest]
    drawing: Sequence[OpenRequest]


@dataclass(frozen=True, kw_only=True)
class EndedRequests:
    """What ended lately, each as a row: mappings from column to value.

    `chart` has a row for each quarter of an hour in which something ended, `total` is all together.
    """

    chart: Sequence[dict[str, Any]]
    total: dict[str, Any]
    failures: Sequence[dict[str, Any]]
    last_failed: Sequence[dict[str, Any]]
    pictures: Sequence[dict[str, Any]]
    reported: Sequence[dict[str, Any]]


class StatusQueries:
    """Reads for the status page. All methods raise Unavailable if PostgreSQL cannot be reached."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def open_requests(self) -> OpenRequests:
        """Return what is under way."""

        async def step(connection: AsyncConnection) -> OpenRequests:
            counted = (await connection.execute(_COUNTS)).all()
            waiting = _open().where(ImageRequest.state != State.DRAWING).limit(_MOST_SHOWN)
            drawing = _open().where(ImageRequest.state == State.DRAWING).limit(_MOST_DRAWING)
            return OpenRequests(
                now=(await connection.execute(select(func.clock_timestamp()))).scalar_one(),
                counts={row.state: row.requests for row in counted},
                oldest_at=min((row.oldest_at for row in counted), default=None),
                waiting=[OpenRequest(**row) for row in await _rows(connection, waiting)],
                drawing=[OpenRequest(**row) for row in await _rows(connection, drawing)],
            )

        return await run_in_transaction(self._engine, step)

    async def ended_requests(self) -> EndedRequests:
        """Return what ended in the last hours."""

        async def step(connection: AsyncConnection) -> EndedRequests:
            chart = await _rows(
                connection,
                _CHART,
                in_time_s=IN_TIME_S,
                bucket_s=BUCKET_S,
                hours=CHART_HOURS,
                most=_MOST_ENDS,
            )
            failed = {"hours": FAILURE_HOURS}
            return EndedRequests(
                chart=sorted(
                    (row for row in chart if row["bucket"] is not None),
                    key=lambda row: row["bucket"],
                ),
                total=next(row for row in chart if row["bucket"] is None),
                failures=await _rows(connection, _FAILURES, most=_MOST_FAILURES, **failed),
                last_failed=await _rows(connection, _LAST_FAILED, most=_MOST_SHOWN, **failed),
                pictures=await _rows(connection, _last_pictures()),
                reported=await _rows(connection, _reported()),
            )

        return await run_in_transaction(self._engine, step)

    async def failed_with(self, code: str, *, most: int) -> Sequence[UUID]:
        """Return the ids of requests that have failed with a code and can be retried, latest first."""
        values = {"code": code, "hours": FAILURE_HOURS, "most": most}

        async def step(connection: AsyncConnection) -> Sequence[UUID]:
            return (await connection.execute(_FAILED_WITH, values)).scalars().all()

        return await run_statement(self._engine, step)

    async def showable_image(self, request_id: UUID) -> str | None:
        """Return the name of a request's image; None if there is none that the page may show."""
        query = select(ImageRequest.image).where(ImageRequest.id == request_id, *_MAY_BE_SHOWN)

        async def step(connection: AsyncConnection) -> str | None:
            return (await connection.execute(query)).scalar_one_or_none()

        return await run_statement(self._engine, step)


# Above safe the page shows nothing, whoever looks.
_MAY_BE_SHOWN = (
    # One that was called off may have arrived, and be reported.
    (ImageRequest.state == State.DELIVERED) | ImageRequest.reported_at.is_not(None),
    ImageRequest.drawn_rating == Rating.SAFE,
    ImageRequest.image.is_not(None),
    # What its user has taken out of the chat is nobody else's to see, unless it was reported.
    (ImageRequest.hidden_at.is_(None) | ImageRequest.reported_at.is_not(None)),
)


def _open() -> Any:
    return (
        select(
            ImageRequest.id,
            ImageRequest.kind,
            ImageRequest.state,
            ImageRequest.persona,
            ImageRequest.host,
            ImageRequest.queued_at,
            ImageRequest.updated_at,
            ImageRequest.crashes,
            ImageRequest.claim.is_not(None).label("is_claimed"),
            func.coalesce(ImageRequest.claim == ImageRequest.waiting_claim, False).label(
                "waits_for_slot"
            ),
        )
        .where(_IS_OPEN)
        .order_by(ImageRequest.created_at, ImageRequest.id)
    )


def _last_pictures() -> Any:
    latest = (
        select(ImageRequest)
        .where(
            ImageRequest.finished_at
            > func.statement_timestamp() - func.make_interval(0, 0, 0, 0, CHART_HOURS)
        )
        .order_by(ImageRequest.finished_at.desc())
        .limit(_MOST_LATEST)
        .subquery()
    )
    columns = latest.c
    return (
        select(columns.id, columns.persona, columns.finished_at, columns.width, columns.height)
        .where(
            columns.state == State.DELIVERED,
            columns.drawn_rating == Rating.SAFE,
            columns.image.is_not(None),
            columns.hidden_at.is_(None),
            columns.reported_at.is_(None),
        )
        .order_by(columns.finished_at.desc())
        .limit(_MOST_PICTURES)
    )


def _reported() -> Any:
    is_showable = (ImageRequest.drawn_rating == Rating.SAFE) & ImageRequest.image.is_not(None)
    return (
        select(
            ImageRequest.id,
            ImageRequest.persona,
            ImageRequest.reported_at,
            ImageRequest.width,
            ImageRequest.height,
            func.coalesce(is_showable, False).label("has_picture"),
        )
        .where(ImageRequest.reported_at.is_not(None))
        .order_by(ImageRequest.reported_at.desc())
        .limit(_MOST_REPORTED)
    )


async def _rows(connection: AsyncConnection, query: Any, **values: Any) -> list[dict[str, Any]]:
    return [row._asdict() for row in await connection.execute(query, values)]
