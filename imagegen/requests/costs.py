"""What the drawn pictures of a time cost, by the prices of HOST_PRICE_PER_HOUR.

A picture costs the seconds for which a host drew it, which its row keeps for as long as the row is
kept. A picture that was drawn before costs nothing again, and what failed is not in the rows:
`imagegen_picture_cost_total` (docs/metrics.md) counts that too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import Interval, bindparam, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.orm import InstrumentedAttribute

from chatflow_hook.tables import OPEN, ImageRequest
from imagegen.db.engine import run_statement
from imagegen.metrics import HostPrices

Grouping = Literal["persona", "user", "host"]

_COLUMNS: dict[Grouping, InstrumentedAttribute[Any]] = {
    "persona": ImageRequest.persona,
    "user": ImageRequest.user_id,
    "host": ImageRequest.host,
}
_SINCE = func.statement_timestamp() - bindparam("span", type_=Interval())
_IS_DRAWN_SINCE = (
    ImageRequest.drawing_seconds.is_not(None),
    ImageRequest.is_reused.is_(False),
    # Both parts have an index.
    or_(ImageRequest.finished_at > _SINCE, ImageRequest.state.in_(OPEN)),
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the pictures of one persona, user or host cost; `name` is None for an unknown host."""

    name: str | None
    pictures: int
    seconds: float
    cost: float


class Costs:
    """Reads what pictures cost. Its methods raise Unavailable if PostgreSQL cannot be reached."""

    def __init__(self, engine: AsyncEngine, prices: HostPrices) -> None:
        self._engine = engine
        self._prices = prices

    async def total(self, span: timedelta) -> float:
        """Return what all pictures of the time span before now cost; 0 where there are no prices."""
        if self._prices == HostPrices():
            return 0.0
        return sum(cost.cost for cost in await self.by("host", span))

    async def by(self, grouping: Grouping, span: timedelta) -> Sequence[Cost]:
        """Return what the pictures of the time span before now cost, the dearest first."""
        column = _COLUMNS[grouping]
        query = (
            select(column, ImageRequest.host, func.count(), func.sum(ImageRequest.drawing_seconds))
            .where(*_IS_DRAWN_SINCE)
            .group_by(column, ImageRequest.host)
        )

        async def step(connection: AsyncConnection) -> Sequence[Cost]:
            costs: dict[str | None, Cost] = {}
            for key, host, pictures, drawing_s in await connection.execute(query, {"span": span}):
                seconds = drawing_s or 0.0
                name = None if key is None else str(key)
                before = costs.get(name, Cost(name=name, pictures=0, seconds=0.0, cost=0.0))
                costs[name] = Cost(
                    name=name,
                    pictures=before.pictures + pictures,
                    seconds=before.seconds + seconds,
                    cost=before.cost + seconds / 3600 * self._prices.per_hour(host or ""),
                )
            return sorted(costs.values(), key=lambda cost: (-cost.cost, cost.name or ""))

        return await run_statement(self._engine, step)
