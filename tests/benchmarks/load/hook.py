"""Hook: what a turn costs the bot, in its own process, on PostgreSQL."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from statistics import median

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from chatflow_hook import ChatFlowHook
from chatflow_hook.database import connect
from chatflow_hook.settings import HookSettings
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.process_usage import Load, Meter
from tests.benchmarks.report.quantiles import quantile
from tests.support import conversations

NAME = "hook"
_RATE = 200
_DIALOGS = 400
_AT_ONCE = 32
_P95_MS = 8.0
# Turns a second where so many bare statements a second are possible.
_PER_S, _OF_BARE_PER_S = 1_500, 3_700
_CONNECTIONS = 10
_SESSION_MS = 0.5
_BURST, _BURST_WITHIN_S = 1_000, 1.0
_BARE = text("SELECT 1")


async def run(backends: BenchmarkServers) -> AsyncGenerator[Figure, None]:
    """Come at a fixed rate, as fast as 32 dialogs can, in the bot's session, and all at once."""
    seconds = 3.0 if backends.is_quick else 15.0
    await backends.clear(NAME)
    settings = conversations.hook_settings(
        backends.database_url, backends.redis_url, image_trigger_min=3, image_trigger_max=5
    )
    engine = connect(settings.database)
    async with _warm(settings) as hook:
        yield await _open_loop(hook, seconds)
        yield await _closed_loop(hook, engine, seconds)
        yield await _in_session(hook, engine, backends.calibration.most(_SESSION_MS))
        for figure in await _bursts(hook, backends):
            yield figure
    await engine.dispose()


async def _open_loop(hook: ChatFlowHook, seconds: float) -> Figure:
    meter, latencies = Meter(), list[float]()

    async def turn(number: int) -> None:
        # From when it was due: a turn that could not begin in time has waited too.
        due = began + number / _RATE
        await hook.on_turn(conversations.turn(1 + number % _DIALOGS, text=f"message {number}"))
        latencies.append(time.perf_counter() - due)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * _RATE)):
            await asyncio.sleep(max(0.0, began + number / _RATE - time.perf_counter()))
            group.create_task(turn(number))
    p50, p95 = (1000 * quantile(latencies, share) for share in (0.5, 0.95))
    return Figure(
        row=NAME,
        name=f"{_RATE} turns/s",
        measured=f"p50 {p50:.1f} ms, p95 {p95:.1f} ms",
        target=f"p95 ≤ {_P95_MS:g} ms",
        is_reached=p95 <= _P95_MS,
        worker_cpu=meter.read().cores,
        facts={"p50_ms": p50, "p95_ms": p95, "turns": len(latencies)},
    )


async def _closed_loop(hook: ChatFlowHook, engine: AsyncEngine, seconds: float) -> Figure:
    """Let dialogs and bare statements take turns, so that both have the same machine."""
    bare_engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def talk(number: int) -> None:
        await hook.on_turn(conversations.turn(_DIALOGS + number))

    async def ask(_: int) -> None:
        async with bare_engine.connect() as connection:
            await connection.execute(_BARE)

    turns, bare, loads = list[float](), list[float](), list[Load]()
    for _ in range(3):
        bare.append(await _per_s(ask, _CONNECTIONS, seconds / 6))
        meter = Meter()
        turns.append(await _per_s(talk, _AT_ONCE, seconds / 3))
        loads.append(meter.read())
    rate, bare_rate = median(turns), median(bare)
    most = bare_rate * _PER_S / _OF_BARE_PER_S
    return Figure(
        row=NAME,
        name=f"{_AT_ONCE} dialogs, each as fast as it can",
        measured=f"{rate:.0f} turns/s, {bare_rate:.0f} bare statements/s",
        target=f"≥ {most:.0f} turns/s ({_PER_S} of {_OF_BARE_PER_S} bare statements)",
        is_reached=rate >= most,
        worker_cpu=median(load.cores for load in loads),
        facts={"turns_per_s": turns, "bare_statements_per_s": bare},
    )


async def _per_s(step: Callable[[int], Awaitable[None]], at_once: int, seconds: float) -> float:
    """Return how many steps a second are taken, `at_once` of them at the same time."""
    taken, began = itertools.count(), time.perf_counter()

    async def again(number: int) -> None:
        while time.perf_counter() - began < seconds:
            await step(number)
            next(taken)

    await asyncio.gather(*map(again, range(1, at_once + 1)))
    return next(taken) / (time.perf_counter() - began)


async def _in_session(hook: ChatFlowHook, engine: AsyncEngine, most_ms: float) -> Figure:
    """Compare the CPU of a turn in a session's transaction with that of an empty savepoint there."""

    async def turn(session: AsyncSession, _: AsyncConnection, number: int) -> None:
        await hook.on_turn(conversations.turn(1 + number % _DIALOGS), session)

    async def savepoint(_: AsyncSession, connection: AsyncConnection, __: int) -> None:
        async with connection.begin_nested():
            pass

    turn_ms, empty_ms = list[float](), list[float]()
    for _ in range(15):
        empty_ms.append(await _cpu_ms(engine, savepoint))
        turn_ms.append(await _cpu_ms(engine, turn))
    # The first ones open and prepare.
    more_ms = median(turn_ms[1:]) - median(empty_ms[1:])
    return Figure(
        row=NAME,
        name="CPU of a turn in the bot's session beyond an empty savepoint",
        measured=f"{more_ms:.2f} ms ({median(turn_ms):.2f} ms, savepoint {median(empty_ms):.2f} ms)",
        target=f"≤ {most_ms:.2g} ms",
        ceiling="0 ms",
        is_reached=more_ms <= most_ms,
        facts={"turn_ms": turn_ms, "savepoint_ms": empty_ms},
    )


async def _cpu_ms(
    engine: AsyncEngine, step: Callable[[AsyncSession, AsyncConnection, int], Awaitable[None]]
) -> float:
    """Return this process's CPU for each of fifty steps in a transaction, in ms."""
    async with AsyncSession(engine) as session, session.begin():
        connection = await session.connection()
        began = time.process_time()
        for number in range(50):
            await step(session, connection, number)
        return 1000 * (time.process_time() - began) / 50


async def _bursts(hook: ChatFlowHook, backends: BenchmarkServers) -> Sequence[Figure]:
    """Let a thousand dialogs that have begun say their second message at once, and their third."""
    dialogs = range(100_000, 100_000 + _BURST)
    room = asyncio.Semaphore(_CONNECTIONS)

    async def begin(dialog_id: int) -> None:
        async with room:
            await hook.on_turn(conversations.turn(dialog_id))

    await asyncio.gather(*map(begin, dialogs))
    return [
        await _burst(hook, backends, dialogs, f"a burst of {_BURST} turns"),
        await _burst(hook, backends, dialogs, f"a burst of {_BURST}, every third with a picture"),
    ]


async def _burst(
    hook: ChatFlowHook, backends: BenchmarkServers, dialogs: Sequence[int], name: str
) -> Figure:
    before = await _counted(backends, dialogs)
    meter, began = Meter(), time.perf_counter()
    await asyncio.gather(*(hook.on_turn(conversations.turn(each)) for each in dialogs))
    took_s, load = time.perf_counter() - began, meter.read()
    counted = await _counted(backends, dialogs) - before
    return Figure(
        row=NAME,
        name=name,
        measured=f"{counted} of {_BURST} counted, all answered after {took_s:.2f} s",
        target=f"all, ≤ {_BURST_WITHIN_S:g} s",
        is_reached=counted == _BURST and took_s <= _BURST_WITHIN_S,
        worker_cpu=load.cores,
        facts={"counted": counted, "seconds": took_s, "cpu_s": load.seconds},
    )


async def _counted(backends: BenchmarkServers, dialogs: Sequence[int]) -> int:
    """Return how many messages of these dialogs are counted."""
    connection = await asyncpg.connect(backends.database_url)
    try:
        query = "SELECT sum(message_count) FROM dialogs WHERE id = ANY($1::bigint[])"
        return int(await connection.fetchval(query, list(dialogs)))
    finally:
        await connection.close()


@asynccontextmanager
async def _warm(settings: HookSettings) -> AsyncIterator[ChatFlowHook]:
    async with ChatFlowHook(settings) as hook:
        await asyncio.gather(
            *(hook.on_turn(conversations.turn(10_000 + n)) for n in range(_AT_ONCE))
        )
        yield hook
