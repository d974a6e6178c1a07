"""PostgreSQL, Valkey, and the worker of this checkout, which draws for the journeys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from imagegen.db import migrations
from imagegen.db.engine import connect
from imagegen.sandbox.servers.servers import Servers
from tests.support import conversations
from tests.support.product import ProductFactory


@asynccontextmanager
async def running_worker(servers: Servers, home: Path) -> AsyncIterator[None]:
    """Migrate the database, and run a worker with a sandbox host and a sandbox Telegram."""
    await asyncio.to_thread(migrations.upgrade, servers.database_url)
    engine = connect(servers.database_url)
    factory = ProductFactory(
        servers.database_url, servers.redis_url, conversations.sessions_of(engine), home
    )
    try:
        async with factory.start():
            yield
    finally:
        await engine.dispose()
