"""A worker hears at once that it is to read its personas anew."""

import asyncio
import signal

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url

from chatflow_hook.settings import RedisPlace
from imagegen.queue import connections, persona_reload
from imagegen.queue.persona_reload import PersonaReload
from imagegen.queue.wake_listener import WakeListener
from imagegen.workflows.reload import ReloadableLibrary
from tests.support.patience import PATIENCE_S
from tests.support.shipped_workflows import shipped_workflows


async def test_who_asks_for_a_reload_wakes_the_worker(redis_url: str) -> None:
    place = RedisPlace(arguments=dict(parse_url(redis_url)))
    queue = connections.job_queue(place, db=3)
    async with Redis.from_url(redis_url) as redis:
        reload = PersonaReload(redis, ReloadableLibrary(shipped_workflows), worker="it")
        listener = WakeListener(queue, place, db=3, on_message=reload.on_message)
        async with listener.listening(), asyncio.timeout(PATIENCE_S):
            # When it begins to listen it may have missed a message, and looks.
            await reload.asked.wait()
            reload.asked.clear()
            await reload.step()

            await persona_reload.ask_all(redis, broker_db=3, worker_count=0, timeout_s=PATIENCE_S)
            await reload.asked.wait()
            await reload.step()

            answered = [key async for key in redis.scan_iter(match="imagegen:personas:reloaded:*")]
    await queue.aclose()

    assert len(answered) == 1


def test_a_sighup_after_the_end_of_the_worker_changes_nothing(redis_url: str) -> None:
    reload = PersonaReload(
        Redis.from_url(redis_url), ReloadableLibrary(shipped_workflows), worker="it"
    )

    async def worker() -> None:
        reload.listen_for_sighup()

    before = signal.getsignal(signal.SIGHUP)
    try:
        asyncio.run(worker())
        signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)

    assert not reload.asked.is_set()


async def test_a_job_is_no_reason_to_look(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        reload = PersonaReload(redis, ReloadableLibrary(shipped_workflows), worker="it")

        reload.on_message(b"queued")

    assert not reload.asked.is_set()
