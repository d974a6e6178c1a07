"""Probes: what a running worker is asked about, over connections that no job keeps busy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from imagegen import broker, ticker
from imagegen.db import migrations
from imagegen.db.engine import connect
from imagegen.db.migrations import SchemaCheck
from imagegen.settings import Settings
from imagegen.studio import Studio
from imagegen.web import needs, site
from imagegen.web.question import Question
from imagegen.web.readiness import Readiness

_ASK_WITHIN_S = 3.0
# Others are not asked at each probe how they are.
_WELL_ABROAD_S = 10.0
_WELL_NEARBY_S = 3.0
_LOOK_FOR_REDIS_EVERY_S = 0.5


@asynccontextmanager
async def about(chosen: Settings, studio: Studio, readiness: Readiness) -> AsyncIterator[None]:
    """Let `readiness` ask for all that a picture needs while the block runs."""
    async with AsyncExitStack() as stack:
        engine = connect(chosen.database_url, pool_size=1, command_timeout_s=_ASK_WITHIN_S)
        stack.push_async_callback(engine.dispose)
        redis = broker.live(chosen.redis, db=chosen.redis_broker_db)
        stack.push_async_callback(redis.aclose)
        its = SchemaCheck(engine)
        await stack.enter_async_context(
            ticker.every(migrations.SCHEMA_CHECK_EVERY_S, its.step, name="schema")
        )
        questions = {
            "redis": Question(needs.redis(redis)),
            "postgresql": Question(its.lacks),
            "telegram": Question(needs.telegram(studio.telegram), well_for_s=_WELL_ABROAD_S),
            "hosts": Question(needs.hosts(studio.pool), well_for_s=_WELL_NEARBY_S),
        }
        await stack.enter_async_context(readiness.asking(questions))
        yield


async def until_redis_answers(chosen: Settings) -> None:
    """Wait for Redis where probes hear of it, since arq would only wait. Raises BadSetting."""
    readiness = Readiness(lambda: False)
    async with (
        broker.live(chosen.redis, db=chosen.redis_broker_db) as redis,
        site.open_at(chosen.web_host, chosen.web_port, readiness),
        readiness.asking({"redis": Question(needs.redis(redis))}),
    ):
        while not await broker.answers(chosen.redis):  # noqa: ASYNC110 (nobody would tell)
            await asyncio.sleep(_LOOK_FOR_REDIS_EVERY_S)
