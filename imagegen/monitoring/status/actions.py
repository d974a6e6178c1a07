"""What an operator changes on the status page: retry, pause, drain and resume."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.queue import QueueClient
from imagegen.monitoring.status.status_queries import StatusQueries
from imagegen.pool.host_orders import HostOrders
from imagegen.pool.pool import Pool
from imagegen.requests.pauses import PauseRefused, Pauses, PauseScope
from imagegen.requests.retry import NotRetried, retry_request
from imagegen.storage.store import ImageStore

log = structlog.get_logger(__name__)

# One press retries so many at most; a group that is larger takes several.
MOST_AT_ONCE = 200
_ENQUEUE_WITHIN_S = 1.0


class RetryOrder(BaseModel):
    """Requests to try again: by their ids, or all that failed with a code in the last hours."""

    model_config = ConfigDict(extra="forbid")

    ids: list[UUID] = Field(default=[], max_length=MOST_AT_ONCE)
    code: str | None = Field(default=None, max_length=100)


class PauseOrder(BaseModel):
    """What to pause or to resume; a host that is paused is drained."""

    model_config = ConfigDict(extra="forbid")

    scope: PauseScope | Literal["host"]
    name: str = Field(max_length=300)
    is_paused: bool


@dataclass(frozen=True, kw_only=True)
class ActionOutcome:
    """What became of an order, in a sentence for whoever gave it."""

    sentence: str
    level: Literal["done", "refused"] = "done"


class StatusActions:
    """Carries out orders; each may be given twice, or by two operators at the same time."""

    def __init__(
        self,
        engine: AsyncEngine,
        queries: StatusQueries,
        *,
        images: ImageStore,
        queue: QueueClient,
        pool: Pool,
    ) -> None:
        self._engine = engine
        self._pool = pool
        self._host_orders = HostOrders(engine)
        self._queries = queries
        self._images = images
        self._queue = queue
        self._pauses = Pauses(engine)

    async def retry(self, order: RetryOrder) -> ActionOutcome:
        """Put failed requests back into the queue, as `imagegen requests retry` does.

        Raises:
            Unavailable: PostgreSQL or the image store is away.
        """
        ids: Sequence[UUID] = order.ids
        if order.code is not None:
            ids = await self._queries.failed_with(order.code, most=MOST_AT_ONCE)
        refusals = [why for request_id in ids if (why := await self._retry(request_id))]
        retried = len(ids) - len(refusals)
        log.info("requests retried", requests=retried, refused=len(refusals), code=order.code)
        if not ids:
            return ActionOutcome(sentence="Nothing can be tried again.", level="refused")
        said = f"{retried} of {len(ids)} put back into the queue."
        if not refusals:
            return ActionOutcome(sentence=said)
        return ActionOutcome(
            sentence=f"{said} Not so the others: {refusals[0]}.",
            level="done" if retried else "refused",
        )

    async def pause(self, order: PauseOrder) -> ActionOutcome:
        """Pause or resume a persona or a kind, or drain or resume a host.

        Raises:
            PauseRefused: there is nothing of this name to pause.
            Unavailable: PostgreSQL is away.
        """
        if order.scope == "host":
            return await self._drain(order)
        named = f"The {order.scope.value} {order.name}"
        if order.is_paused:
            is_new = await self._pauses.pause(order.scope, order.name)
            return ActionOutcome(sentence=f"{named} {'is' if is_new else 'was already'} paused.")
        was_paused = await self._pauses.resume(order.scope, order.name)
        return ActionOutcome(sentence=f"{named} {'goes on' if was_paused else 'was not paused'}.")

    async def _drain(self, order: PauseOrder) -> ActionOutcome:
        if order.name not in {host.name for host in self._pool.status()}:
            raise PauseRefused(f"there is no host {order.name}")
        if order.is_paused:
            await self._host_orders.drain(order.name)
            sentence = (
                f"The host {order.name} is drained: what runs on it ends, nothing new begins."
            )
        else:
            await self._host_orders.resume(order.name)
            sentence = f"The host {order.name} goes on."
        log.info("host ordered", host=order.name, is_drained=order.is_paused)
        return ActionOutcome(sentence=sentence)

    async def _retry(self, request_id: UUID) -> str | None:
        """Retry one request; return why it was not, None if it was."""
        try:
            await retry_request(self._engine, self._images, request_id)
        except NotRetried as error:
            return error.sentence
        # Without Redis the relay of a worker finds it.
        await self._queue.enqueue(request_id, within_s=_ENQUEUE_WITHIN_S)
        return None
