"""Redis: whether both databases take our commands, its memory and its disk, and who else is there."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from chatflow_hook import redis_errors
from chatflow_hook.queue import OUR_CHANNELS, server_time_s
from chatflow_hook.settings import RedisPlace, RedisSettings
from imagegen.doctor.finding import DoctorFinding, Findings, green, red, yellow
from imagegen.queue import connections
from imagegen.queue.foreign_keys import find_foreign_keys

_MIB = 2**20
_NEARLY_FULL = 0.9
# As docs/settings.md has them.
_RIGHTS = (
    "~arq:* ~imagegen:* &imagegen:* "
    "+@read +@write +@connection +@transaction +@pubsub +@scripting +info +time"
)
# Gone at once.
_TRIAL_MS = 1


async def check(settings: RedisSettings) -> Findings:
    """Yield what is wrong with Redis; nothing is left in it."""
    place = settings.redis
    broken: set[str] = set()
    for db in dict.fromkeys((settings.redis_broker_db, settings.redis_result_db)):
        async with connections.silent_connection(place, db=db) as client:
            for try_out in _TRIALS:
                try:
                    await try_out(client)
                except (RedisError, OSError) as error:
                    finding = _of_error(error, place)
                    # What is wrong with the server is wrong with both databases.
                    if finding.sentence not in broken:
                        broken.add(finding.sentence)
                        yield finding
                    if not isinstance(error, NoPermissionError):
                        break
    async with connections.silent_connection(place, db=settings.redis_broker_db) as client:
        try:
            facts = await client.info()
            foreign = await find_foreign_keys(client)
        except (RedisError, OSError):
            return  # it has been said
    for finding in of_server(facts):
        yield finding
    if foreign is not None:
        yield yellow(
            f"another program has {foreign.count} keys in database {settings.redis_broker_db}, "
            f"that of the queue, {foreign.of_celery} of them Celery's",
            foreign.advice,
        )
    if not broken:
        yield green(
            f"{_name(facts)} at {place.address} takes our commands in the databases "
            f"{settings.redis_broker_db} and {settings.redis_result_db}"
        )


def of_server(facts: Mapping[str, Any]) -> Iterator[DoctorFinding]:
    """Yield what INFO says that an operator should look at; it lacks fields on some servers."""
    used, limit = int(facts.get("used_memory", 0)), int(facts.get("maxmemory", 0))
    policy = str(facts.get("maxmemory_policy", "noeviction"))
    if limit and used >= _NEARLY_FULL * limit:
        yield yellow(
            f"{used / _MIB:.0f} of {limit / _MIB:.0f} MiB of memory are used, maxmemory-policy {policy}",
            "raise maxmemory, or find out what fills it: redis-cli --bigkeys",
        )
    if limit and policy != "noeviction":
        yield yellow(
            f"maxmemory-policy is {policy}, so jobs are dropped when {limit / _MIB:.0f} MiB are full",
            "CONFIG SET maxmemory-policy noeviction, and write it into its configuration",
        )
    for field, what in (
        ("rdb_last_bgsave_status", "its last save"),
        ("aof_last_write_status", "the last write of its append-only file"),
    ):
        if facts.get(field, "ok") != "ok":
            yield yellow(f"{what} has failed", "look at its disk and its log")


def _of_error(error: RedisError | OSError, place: RedisPlace) -> DoctorFinding:
    why = redis_errors.why(error, place.address, user=place.user)
    if isinstance(error, NoPermissionError):
        return red(why, f"ACL SETUSER {place.user or 'default'} {_RIGHTS}")
    if isinstance(error, AuthenticationError) or redis_errors.is_refusal(error):
        sentence, _, advice = why.partition(": ")
        return red(sentence, advice or "look at the log of the server")
    return red(why, "start it, or correct REDIS_URL, or REDIS_HOST and REDIS_PORT")


async def _write_as_arq(client: Redis) -> None:
    await client.set("arq:write-probe", b"1", px=_TRIAL_MS)


async def _write(client: Redis) -> None:
    await client.set("imagegen:write-probe", b"1", px=_TRIAL_MS)


async def _transact(client: Redis) -> None:
    async with client.pipeline(transaction=True) as pipe:
        pipe.exists("imagegen:write-probe")
        await pipe.execute()


async def _run_script(client: Redis) -> None:
    await client.eval("return 1", 0)  # type: ignore[misc]


async def _subscribe(client: Redis) -> None:
    async with client.pubsub() as pubsub:
        await pubsub.psubscribe(OUR_CHANNELS)
        # The answer to it, or the refusal.
        await pubsub.get_message(timeout=1.0)


async def _publish(client: Redis) -> None:
    await client.publish("imagegen:doctor", "")


async def _scan(client: Redis) -> None:
    await client.scan(count=1)


async def _inform(client: Redis) -> None:
    await client.info("server")


async def _tell_time(client: Redis) -> None:
    await server_time_s(client)


# What a worker does, so that an ACL that forbids it is found.
_TRIALS: tuple[Callable[[Redis], Awaitable[None]], ...] = (
    _write_as_arq,
    _write,
    _transact,
    _run_script,
    _subscribe,
    _publish,
    _scan,
    _inform,
    _tell_time,
)


def _name(facts: Mapping[str, Any]) -> str:
    if "valkey_version" in facts:
        return f"Valkey {facts['valkey_version']}"
    return f"Redis {facts.get('redis_version', '')}".rstrip()
