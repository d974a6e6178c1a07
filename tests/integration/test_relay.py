"""The relay: requests that Redis never heard of, or has forgotten, are drawn all the same."""

from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy import func, update

from chatflow_hook.tables import ImageRequest, State
from imagegen import broker
from imagegen.relay import Relay
from imagegen.requests import Requests
from tests import chat
from tests.chat import Sessions
from tests.stage import PATIENCE_S, Stages


@pytest.fixture
def stages(database_url: str, redis_url: str, sessions: Sessions, tmp_path: Path) -> Stages:
    return Stages(database_url, redis_url, sessions, tmp_path / "images")


async def age(sessions: Sessions) -> None:
    """Make it half a minute since anything was heard of any request."""
    async with sessions.begin() as session:
        await session.execute(
            update(ImageRequest).values(
                updated_at=ImageRequest.updated_at - func.make_interval(0, 0, 0, 0, 0, 0, 30)
            )
        )


async def test_a_request_that_redis_has_forgotten_is_drawn(
    stages: Stages, sessions: Sessions, redis_url: str
) -> None:
    async with stages.set(works=False) as stage, Redis.from_url(redis_url, db=3) as redis:
        request = await stage.ask()
        await redis.flushdb()
        await age(sessions)

        async with stage.worker():
            picture = await stage.hook.wait(request, timeout=PATIENCE_S)

    assert picture.state is State.DELIVERED


async def test_only_what_nobody_has_taken_and_redis_does_not_know_is_rung_for(
    stages: Stages, sessions: Sessions, redis_url: str
) -> None:
    requests = Requests(sessions)
    settings = chat.hook_settings("postgresql://unused/db", redis_url)
    async with (
        stages.set(works=False) as stage,
        broker.queue(settings.redis, db=3) as queue,
    ):
        claimed, known, lost = [await stage.ask(dialog_id=number) for number in (1, 2, 3)]
        await requests.claim(claimed.id)
        await queue.delete(f"arq:job:{claimed.id}", f"arq:job:{lost.id}")
        await queue.zrem("arq:queue", str(claimed.id), str(lost.id))
        relay = Relay(requests, queue)

        await relay.step()
        too_early = await queue.zrange("arq:queue", 0, -1)
        await age(sessions)
        await relay.step()
        await relay.step()
        queued = await queue.zrange("arq:queue", 0, -1)

        assert too_early == [str(known.id).encode()]
        assert sorted(queued) == sorted([str(known.id).encode(), str(lost.id).encode()])
