"""The connections of one command to database, Redis and image store, until the command ends."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import click
import structlog
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import cancellation
from chatflow_hook.failures import cause_of
from chatflow_hook.queue import QueueClient
from chatflow_hook.settings import BadSetting, HookSettings, read
from chatflow_hook.tables import ImageRequest, State
from imagegen.bootstrap import image_store_if_present, retention_limits
from imagegen.cli.exits import exit_with
from imagegen.db.engine import connect, run_in_transaction
from imagegen.errors import ImagegenError
from imagegen.maintenance.retention_limits import RetentionLimits
from imagegen.metrics import HostPrices
from imagegen.requests.queries import RequestNotFound, RequestQueries
from imagegen.requests.retry import NotRetried, retry_request
from imagegen.settings import CostSettings, StoreSettings
from imagegen.storage.store import ImageStore

ResultT = TypeVar("ResultT")

_ENQUEUE_WITHIN_S = 1.0


class _SessionSettings(CostSettings, StoreSettings, HookSettings):
    pass


@dataclass(frozen=True, kw_only=True)
class CommandOutcome:
    """The outcome of a command for one request.

    Attributes:
        state: the new state, None if nothing was changed.
        why: why nothing was changed, None if something was.
        is_rung: whether the job was put into Redis; if not, a worker does it later.
    """

    request: str
    state: State | None = None
    why: str | None = None
    is_rung: bool = True


@dataclass(frozen=True, kw_only=True)
class CommandSession:
    """The connections of one command; `images` is None if the store is not on this machine."""

    engine: AsyncEngine
    queries: RequestQueries
    queue_client: QueueClient
    images: ImageStore | None
    limits: RetentionLimits
    prices: HostPrices
    hash_secret: SecretStr | None

    async def retry(self, request: str | UUID) -> CommandOutcome:
        """Put one failed request back into the queue; `request` is its id or the beginning of it.

        If the request is not found or cannot be retried, nothing is raised: the outcome says so in
        `why`.

        Raises:
            Unavailable: PostgreSQL or the image store is away.
        """
        try:
            request_id = await self._find_id(request)
            state = await retry_request(self.engine, self.images, request_id)
        except (RequestNotFound, NotRetried) as error:
            return CommandOutcome(request=str(request), why=error.sentence)
        is_rung = await self.queue_client.enqueue(request_id, within_s=_ENQUEUE_WITHIN_S)
        return CommandOutcome(request=str(request_id), state=state, is_rung=is_rung)

    async def cancel(self, request: str) -> CommandOutcome:
        """Cancel one open request; `request` is its id or the beginning of it.

        If the request is not found or has ended, nothing is raised: the outcome says so in `why`.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        try:
            request_id = await self._find_id(request)
        except RequestNotFound as error:
            return CommandOutcome(request=request, why=error.sentence)

        async def step(connection: AsyncConnection) -> Sequence[UUID]:
            return await cancellation.cancel(connection, ImageRequest.id == request_id)

        cancelled_ids = await run_in_transaction(self.engine, step)
        if not cancelled_ids:
            return CommandOutcome(request=str(request_id), why="it has ended already")
        await self.queue_client.publish_ended(cancelled_ids)
        return CommandOutcome(request=str(request_id), state=State.CANCELLED)

    async def _find_id(self, request: str | UUID) -> UUID:
        return request if isinstance(request, UUID) else await self.queries.find(request)


def run_in_session(work: Callable[[CommandSession], Awaitable[ResultT]]) -> ResultT:
    """Run `work` with an open session and return its result.

    It must not be called inside of a running event loop.
    A wrong setting, or PostgreSQL that is away, ends the process with one line and code 2.
    """
    # Commands print one line for people instead of log lines.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        settings = read(_SessionSettings)
        return asyncio.run(_run(settings, work))
    except (BadSetting, ImagegenError) as error:
        is_of_database = isinstance(error, ImagegenError) and error.code.startswith("database_")
        exit_with(f"{settings.database.place}: {error}" if is_of_database else str(error), code=2)
    except DBAPIError as error:
        exit_with(f"{settings.database.place}: {cause_of(error).sentence}", code=2)


async def _run(
    settings: _SessionSettings, work: Callable[[CommandSession], Awaitable[ResultT]]
) -> ResultT:
    engine = connect(settings.database_url, pool_size=2)
    queue_client = QueueClient(
        settings.redis, broker_db=settings.redis_broker_db, result_db=settings.redis_result_db
    )
    try:
        return await work(
            CommandSession(
                engine=engine,
                queries=RequestQueries(engine, hash_secret=settings.hash_secret),
                queue_client=queue_client,
                images=image_store_if_present(settings),
                limits=retention_limits(settings),
                prices=settings.host_price_per_hour,
                hash_secret=settings.hash_secret,
            )
        )
    finally:
        if queue_client.outage is not None:
            click.echo(f"imagegen: {queue_client.outage}", err=True)
        await queue_client.close()
        await engine.dispose()
