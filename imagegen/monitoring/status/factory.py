"""Makes the status page from settings, and opens what it reads with."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from redis.asyncio import Redis

from chatflow_hook.queue import QueueClient
from imagegen.db.engine import connect
from imagegen.monitoring.readiness import Readiness
from imagegen.monitoring.status.access import Role, StatusAccess, is_loopback
from imagegen.monitoring.status.actions import StatusActions
from imagegen.monitoring.status.blurred import BlurredImages
from imagegen.monitoring.status.routes import StatusPage, StatusParts
from imagegen.monitoring.status.snapshot import Snapshots, StatusSources
from imagegen.monitoring.status.status_queries import StatusQueries
from imagegen.pipeline.context import JobContext
from imagegen.requests.pauses import Pauses
from imagegen.requests.queries import RequestQueries
from imagegen.settings import Settings

# Connections of its own, so that the page works while jobs keep theirs busy.
_CONNECTIONS = 2
_COMMAND_TIMEOUT_S = 5.0


def status_page(settings: Settings) -> StatusPage:
    """Return the page with its routes; `showing` gives it what it shows."""
    tokens = {Role.OPERATOR: settings.status_token, Role.READER: settings.status_read_token}
    return StatusPage(
        StatusAccess(
            tokens={
                role: token.get_secret_value().strip()
                for role, token in tokens.items()
                if token is not None
            },
            proxy_header=settings.status_proxy_header,
            role_header=settings.status_proxy_role_header,
            # All workers of an installation have it.
            secret=settings.telegram_bot_token.get_secret_value(),
            is_loopback=is_loopback(settings.web_host),
            served_at=settings.served_at,
        )
    )


@asynccontextmanager
async def showing(  # noqa: PLR0913 (what the worker has made, most of it by name)
    page: StatusPage,
    settings: Settings,
    context: JobContext,
    *,
    results_redis: Redis,
    readiness: Readiness,
    worker: str,
    personas: Callable[[], Iterable[str]],
) -> AsyncIterator[None]:
    """Let the page show this worker and all others while the block runs.

    `results_redis` is the Redis client for live state. `personas` returns their names. A connection
    to PostgreSQL is opened when somebody looks.
    """
    async with AsyncExitStack() as stack:
        engine = connect(
            settings.database_url, pool_size=_CONNECTIONS, command_timeout_s=_COMMAND_TIMEOUT_S
        )
        stack.push_async_callback(engine.dispose)
        queue = QueueClient(
            settings.redis, broker_db=settings.redis_broker_db, result_db=settings.redis_result_db
        )
        stack.push_async_callback(queue.close)
        queries = StatusQueries(engine)
        sources = StatusSources(
            queries=queries,
            pauses=Pauses(engine),
            redis=results_redis,
            redis_place=settings.redis,
            pool=context.pool,
            readiness=readiness,
            worker=worker,
            personas=personas,
            hosts_are_shared=settings.workers_share_hosts,
        )
        parts = StatusParts(
            snapshots=Snapshots(sources),
            actions=StatusActions(
                engine, queries, images=context.image_store, queue=queue, pool=context.pool
            ),
            queries=queries,
            requests=RequestQueries(engine, hash_secret=settings.hash_secret),
            pool=context.pool,
            images=context.image_store,
            blurred=BlurredImages(context.image_store),
        )
        await stack.enter_async_context(page.showing(parts))
        yield
