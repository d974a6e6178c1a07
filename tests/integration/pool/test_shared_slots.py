"""Workers that share hosts: together they never have more slots than there are."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from imagegen.pool.shared_slots import RedisSlot, RedisSlotRegistry
from imagegen.pool.slot_scripts import room_channel, slot_key
from imagegen.queue.worker_presence import WorkerPresence
from tests.support import slot_taker
from tests.support.patience import PATIENCE_S
from tests.support.pool_callers import run_ready_tasks
from tests.support.slot_taker import HOST, SLOTS, redis_at

SHORT_S = 0.15


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_at(redis_url) as redis:
        yield redis


async def until(is_so: Callable[[], Awaitable[object]]) -> None:
    """Wait until the condition holds; Redis may be away meanwhile."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(RedisError):
                if await is_so():
                    return
            await asyncio.sleep(0.005)


async def leases(redis: Redis) -> list[tuple[bytes, float]]:
    found: list[tuple[bytes, float]] = await redis.zrange(slot_key(HOST), 0, -1, withscores=True)
    return found


async def there_are(redis: Redis, count: int) -> None:
    async def is_so() -> bool:
        return len(await leases(redis)) == count

    await until(is_so)


async def taken_by(worker: RedisSlotRegistry, count: int = SLOTS) -> list[RedisSlot]:
    slots = [await worker.take(HOST, SLOTS) for _ in range(count)]
    assert all(slots)
    return [slot for slot in slots if slot]


async def soon_taken_by(worker: RedisSlotRegistry) -> RedisSlot:
    slots: list[RedisSlot | None] = []

    async def is_taken() -> bool:
        slots.append(await worker.take(HOST, SLOTS))
        return slots[-1] is not None

    await until(is_taken)
    assert slots[-1] is not None
    return slots[-1]


async def draw_often(worker: RedisSlotRegistry, seed: int, drawing: list[int]) -> None:
    """Take slots and release or cancel them at random; note how many are held at each moment."""
    chance = random.Random(seed)
    for _ in range(40):
        taking = asyncio.create_task(worker.take(HOST, SLOTS))
        await asyncio.wait({taking}, timeout=chance.choice([0, 0.0005, None]))
        if not taking.done():
            taking.cancel()
            await asyncio.wait({taking})
            continue
        if slot := taking.result():
            drawing.append(drawing[-1] + 1)
            await asyncio.sleep(chance.random() * 0.003)
            drawing.append(drawing[-1] - 1)
            slot.release()


async def test_two_workers_together_never_exceed_the_slots(redis: Redis) -> None:
    workers = [RedisSlotRegistry(redis), RedisSlotRegistry(redis)]
    drawing = [0]

    with capture_logs() as log:
        async with workers[0].renewed(), workers[1].renewed():
            await asyncio.gather(
                *(draw_often(workers[seed % 2], seed, drawing) for seed in range(8))
            )

    if "slots are not shared: redis is away" in [line["event"] for line in log]:
        pytest.skip("the machine is so busy that Redis did not answer in time")
    # Here not all slots need be held at one time, since a cancelled caller may still have one for a
    # moment; the next test checks that they are.
    assert 1 <= max(drawing) <= SLOTS
    assert [(worker.held, worker.overcommitted) for worker in workers] == [(0, 0), (0, 0)]
    assert await leases(redis) == []


def test_two_processes_together_never_exceed_the_slots(redis_url: str) -> None:
    with (
        slot_taker.start("draw_often", redis_url) as one,
        slot_taker.start("draw_often", redis_url) as two,
    ):
        ends = [each.process.wait(PATIENCE_S) for each in (one, two)]
        most = [int(each.stdout) for each in (one, two)]

    assert ends == [0, 0]

    assert max(most) == SLOTS


async def test_each_host_has_slots_of_its_own(redis: Redis) -> None:
    worker = RedisSlotRegistry(redis)
    await taken_by(worker)

    assert await worker.take(HOST, SLOTS) is None
    assert await worker.take("gpu-2:8188", SLOTS) is not None


async def test_a_prompt_that_is_on_its_host_already_gets_a_slot_where_none_is_left(
    redis: Redis,
) -> None:
    worker, other = RedisSlotRegistry(redis), RedisSlotRegistry(redis)
    first, second = await taken_by(other)

    third = await worker.take(HOST, SLOTS, is_in_use=True)

    assert third is not None
    first.release()
    await there_are(redis, SLOTS)
    assert await worker.take(HOST, SLOTS) is None
    second.release()
    await soon_taken_by(worker)


async def test_the_slots_of_a_killed_worker_come_free_after_its_lease(
    redis: Redis, redis_url: str
) -> None:
    worker = RedisSlotRegistry(redis)
    with slot_taker.start("keep_all", redis_url) as killed:
        await there_are(redis, SLOTS)
        before = await worker.take(HOST, SLOTS)
        killed.process.kill()

    started = asyncio.get_running_loop().time()
    await soon_taken_by(worker)
    waited_s = asyncio.get_running_loop().time() - started

    assert before is None
    assert waited_s <= slot_taker.LEASE_S + 0.5


async def test_a_worker_keeps_its_slots_beyond_one_lease(redis: Redis) -> None:
    worker, other = RedisSlotRegistry(redis, lease_s=SHORT_S), RedisSlotRegistry(redis)
    async with worker.renewed():
        await taken_by(worker)
        ends = max(end for _, end in await leases(redis))

        async def is_past_it() -> bool:
            seconds, micros = await redis.time()
            return bool(seconds * 1000 + micros / 1000 > ends + 50)

        await until(is_past_it)

        assert await other.take(HOST, SLOTS) is None
    assert worker.overcommitted == 0


async def test_a_released_slot_is_free_for_the_other_worker(redis: Redis) -> None:
    worker, other = RedisSlotRegistry(redis), RedisSlotRegistry(redis)
    slots = await taken_by(worker)

    slots[0].release()
    slots[0].release()
    held = worker.held

    await taken_by_both(other, redis)
    assert held == SLOTS - 1


async def taken_by_both(other: RedisSlotRegistry, redis: Redis) -> None:
    await there_are(redis, 1)
    await taken_by(other, 1)
    assert await other.take(HOST, SLOTS) is None


async def test_a_lease_that_ran_out_takes_no_lease_of_another_with_it(redis: Redis) -> None:
    worker, other = RedisSlotRegistry(redis, lease_s=0.02), RedisSlotRegistry(redis)
    lost = await taken_by(worker)
    for _ in range(SLOTS):
        await soon_taken_by(other)
    others = await leases(redis)

    for slot in lost:
        slot.release()
    async with worker.renewed():
        pass  # its end waits until the leases are removed

    assert await leases(redis) == others


async def test_a_dead_lease_makes_room_beside_a_living_one(redis: Redis) -> None:
    dead, living = RedisSlotRegistry(redis, lease_s=0.02), RedisSlotRegistry(redis)
    await taken_by(living, 1)
    await taken_by(dead, 1)

    await soon_taken_by(living)

    assert await living.take(HOST, SLOTS) is None


async def test_a_lease_from_before_the_clock_of_redis_was_set_back_ends_like_any_other(
    redis: Redis,
) -> None:
    seconds, _ = await redis.time()
    await redis.zadd(slot_key(HOST), {"dead": (seconds + 600) * 1000})

    await taken_by(RedisSlotRegistry(redis), 1)

    (_, living_until), (_, dead_until) = sorted(await leases(redis), reverse=True)
    assert dead_until == living_until


async def test_a_renewal_under_way_does_not_revive_a_lease_given_back(redis: Redis) -> None:
    worker = RedisSlotRegistry(redis)
    for turns in range(40):
        slots = await taken_by(worker)

        async with worker.renewed():
            for _ in range(turns % 20):
                await asyncio.sleep(0)
            for slot in slots:
                slot.release()

        assert await leases(redis) == []


async def test_leases_that_redis_forgot_are_taken_again(redis: Redis) -> None:
    worker = RedisSlotRegistry(redis, lease_s=SHORT_S)
    async with worker.renewed():
        await taken_by(worker)

        await redis.flushdb()

        await there_are(redis, SLOTS)
    assert worker.overcommitted == 0


async def test_a_forgotten_lease_that_another_has_taken_is_counted_once(redis: Redis) -> None:
    worker, other = RedisSlotRegistry(redis, lease_s=SHORT_S), RedisSlotRegistry(redis)
    slots = await taken_by(worker)
    await redis.flushdb()
    await taken_by(other, 1)

    async with worker.renewed():
        await there_are(redis, SLOTS)
    async with worker.renewed():
        await run_ready_tasks()

    assert worker.overcommitted == 1
    assert sum(slot.is_overcommitted for slot in slots) == 1


async def test_a_taking_that_is_cancelled_leaves_no_lease(redis: Redis) -> None:
    worker = RedisSlotRegistry(redis)

    async with worker.renewed():
        for turns in range(20):
            taking = asyncio.create_task(worker.take(HOST, SLOTS))
            for _ in range(turns):
                await asyncio.sleep(0)
            taking.cancel()
            await asyncio.wait({taking})
            if not taking.cancelled() and (slot := taking.result()):
                slot.release()

    assert (worker.held, await leases(redis)) == (0, [])


async def test_a_released_slot_is_told_to_the_first_in_line_alone(redis: Redis) -> None:
    holder = RedisSlotRegistry(redis)
    first, second = TellingWorker(redis, "first"), TellingWorker(redis, "second")
    async with first.listening(), second.listening():
        slots = await taken_by(holder)
        assert await first.registry.take(HOST, SLOTS) is None
        assert await second.registry.take(HOST, SLOTS) is None

        slots[0].release()
        await until(first.is_told)
        assert second.told == []

        slots[1].release()
        await until(second.is_told)
    assert (first.told, second.told) == ([(HOST, 1)], [(HOST, 1)])


async def test_who_is_told_and_has_no_use_for_the_slot_passes_it_on(redis: Redis) -> None:
    holder = RedisSlotRegistry(redis)
    first, second = TellingWorker(redis, "first", uses=False), TellingWorker(redis, "second")
    async with first.listening(), second.listening():
        slots = await taken_by(holder)
        assert await first.registry.take(HOST, SLOTS) is None
        assert await second.registry.take(HOST, SLOTS) is None

        slots[0].release()

        await until(second.is_told)


async def test_a_dead_worker_in_line_is_passed_over(redis: Redis) -> None:
    holder, dead = RedisSlotRegistry(redis), RedisSlotRegistry(redis, worker="dead")
    living = TellingWorker(redis, "living")
    async with living.listening():
        slots = await taken_by(holder)
        assert await dead.take(HOST, SLOTS) is None
        assert await living.registry.take(HOST, SLOTS) is None

        slots[0].release()

        await until(living.is_told)


async def test_the_slots_of_a_worker_that_is_known_to_be_dead_are_free_at_once(
    redis: Redis,
) -> None:
    dead = RedisSlotRegistry(redis, worker="dead")
    await taken_by(dead, 1)
    await taken_by(RedisSlotRegistry(redis, worker="dead2"), 1)
    living = TellingWorker(redis, "living")
    async with living.listening():
        assert await living.registry.take(HOST, SLOTS) is None

        await living.registry.release_of("dead", [HOST, "gpu-2:8188"])

        await until(living.is_told)
        await taken_by(living.registry, 1)
        assert await living.registry.take(HOST, SLOTS) is None


async def test_a_slot_whose_message_was_lost_is_found_by_the_next_look(redis: Redis) -> None:
    holder = RedisSlotRegistry(redis)
    deaf = RedisSlotRegistry(redis, look_every_s=0.05)
    told: list[tuple[str, int | None]] = []

    def note(host: str, room: int | None) -> bool:
        told.append((host, room))
        return True

    deaf.tell(note)
    slots = await taken_by(holder)

    async with deaf.renewed():
        assert await deaf.take(HOST, SLOTS) is None
        slots[0].release()

        async def is_told() -> bool:
            return bool(told)

        await until(is_told)
    assert told == [(HOST, 1)]


class TellingWorker:
    """A worker that notes which hosts it was told of; `uses` says whether it takes the slots."""

    def __init__(self, redis: Redis, name: str, *, uses: bool = True) -> None:
        self.told: list[tuple[str, int | None]] = []
        # No look, which would find the slot without the message.
        self.registry = RedisSlotRegistry(redis, worker=name, look_every_s=1000)
        self.registry.tell(self._note)
        self._uses = uses
        self._presence = WorkerPresence(
            redis,
            name,
            channel=room_channel,
            on_message=self.registry.note_room,
            on_death=self._ignore,
        )

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with self._presence.shown():
            await until(self._is_listening)
            yield

    def _note(self, host: str, room: int | None) -> bool:
        self.told.append((host, room))
        return self._uses

    async def is_told(self) -> bool:
        return bool(self.told)

    async def _is_listening(self) -> bool:
        return self._presence._is_listening.is_set()

    async def _ignore(self, _: str) -> None:
        pass
