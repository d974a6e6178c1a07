"""An errand: what one command does in database, Redis and store, which are closed after it."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar
from uuid import UUID

import click
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook import cancellation
from chatflow_hook.failures import cause_of
from chatflow_hook.queue import QueueClient
from chatflow_hook.settings import BadSetting, HookSettings, read
from chatflow_hook.tables import ImageRequest, State
from imagegen.bootstrap import image_store_if_present, retention_limits
from imagegen.db.engine import connect, run_in_transaction
from imagegen.errors import ImagegenError
from imagegen.maintenance.retention import RetentionLimits
from imagegen.requests.queries import RequestNotFound, RequestQueries
from imagegen.requests.retry import NotRetried, retry_request
from imagegen.settings import StoreSettings
from imagegen.storage.store import ImageStore

ResultT = TypeVar("ResultT")

_RING_WITHIN_S = 1.0


class _SessionSettings(StoreSettings, HookSettings):
    pass


@dataclass(frozen=True, kw_only=True)
class CommandOutcome:
    """What became of one request of a command; `why` not, if it did not happen."""

    request: str
    state: State | None = None
    why: str | None = None
    is_rung: bool = True


@dataclass(frozen=True, kw_only=True)
class CommandSession:
    """What commands work with; `images` is None where the store is not on this machine."""

    engine: AsyncEngine
    register: RequestQueries
    doorbell: QueueClient
    images: ImageStore | None
    limits: RetentionLimits

    async def retry(self, request: str | UUID) -> CommandOutcome:
        """Put one failed request back and ring for it. Raises Unavailable."""
        try:
            request_id = await self._found(request)
            state = await retry_request(self.engine, self.images, request_id)
        except (RequestNotFound, NotRetried) as error:
            return CommandOutcome(request=str(request), why=error.sentence)
        is_rung = await self.doorbell.enqueue(request_id, within_s=_RING_WITHIN_S)
        return CommandOutcome(request=str(request_id), state=state, is_rung=is_rung)

    async def cancel(self, request: str) -> CommandOutcome:
        """Call one open request off. Raises Unavailable."""
        try:
            request_id = await self._found(request)
        except RequestNotFound as error:
            return CommandOutcome(request=request, why=error.sentence)

        async def step(connection: AsyncConnection) -> Sequence[UUID]:
            return await cancellation.cancel(connection, ImageRequest.id == request_id)

        ended = await run_in_transaction(self.engine, step)
        if not ended:
            return CommandOutcome(request=str(request_id), why="it has ended already")
        await self.doorbell.publish_ended(ended)
        return CommandOutcome(request=str(request_id), state=State.CANCELLED)

    async def _found(self, request: str | UUID) -> UUID:
        return request if isinstance(request, UUID) else await self.register.find(request)


def run_in_session(work: Callable[[CommandSession], Awaitable[ResultT]]) -> ResultT:
    """Do the work; a wrong setting or a database that is away ends the process with 2."""
    # What matters is said in a sentence.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        return asyncio.run(_run(read(_SessionSettings), work))
    except (BadSetting, ImagegenError) as error:
        exit_with(str(error), code=2)
    except DBAPIError as error:
        exit_with(cause_of(error).sentence, code=2)


def exit_with(sentence: str, *, code: int) -> NoReturn:
    """End the process with a sentence."""
    click.echo(f"imagegen: {sentence}", err=True)
    sys.exit(code)


async def _run(
    chosen: _SessionSettings, work: Callable[[CommandSession], Awaitable[ResultT]]
) -> ResultT:
    engine = connect(chosen.database_url, pool_size=2)
    doorbell = QueueClient(
        chosen.redis, broker_db=chosen.redis_broker_db, result_db=chosen.redis_result_db
    )
    try:
        return await work(
            CommandSession(
                engine=engine,
                register=RequestQueries(engine),
                doorbell=doorbell,
                images=image_store_if_present(chosen),
                limits=retention_limits(chosen),
            )
        )
    finally:
        await doorbell.close()
        await engine.dispose()
