"""Redis as the worker needs it: patient with an outage, never hanging on a frozen server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from arq.connections import ArqRedis, RedisSettings
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    WatchError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from chatflow_hook import wire
from chatflow_hook.settings import BadSetting, RedisPlace

AnswerT = TypeVar("AnswerT")

log = structlog.get_logger(__name__)

# RedisSettings knows no socket timeout, and without one a frozen Redis hangs the worker.
SOCKET_TIMEOUT_S = 5.0
# No outage ends the worker, however long it is.
_FOR_EVER = -1
_LONGEST_PAUSE_S = 1.0
_CANNOT_WRITE = ("MISCONF ", "NOREPLICAS ")


class _Patience(Retry):
    """Tries again what a Redis refuses that can't write: its disk is full, its replicas are away.

    redis-py has classes of errors for some of these refusals, and only knows errors by class.
    """

    async def call_with_retry(
        self, do: Callable[[], Awaitable[AnswerT]], fail: Callable[[RedisError], Any]
    ) -> AnswerT:
        """Do it until it is done."""

        async def done() -> AnswerT:
            try:
                return await do()
            except ResponseError as error:
                if any(word in str(error) for word in _CANNOT_WRITE):
                    raise ReadOnlyError(str(error)) from error
                raise

        return await super().call_with_retry(done, fail)


class _Pool(ConnectionPool):
    """Tries again until a connection is whole, its greetings included.

    redis-py's own retry is not round those: one opened to a frozen Redis would end the worker.
    """

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Connect it, or see that it still is."""
        again = super().ensure_connection
        await connection.retry.call_with_retry(
            lambda: again(connection), lambda _: connection.disconnect()
        )


class _Taking(Pipeline):
    """What arq takes a job with: it looks at the lock and the score, then sets the lock.

    A connection that breaks after the first look ends the worker, since arq expects a lost watch
    only at the end. To it a job that can't be looked at now is one that somebody else has.
    """

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command of the watched part at once."""
        try:
            return await super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except WatchError:
            log.warning("job not taken, since Redis broke off", command=args[0])
            return {"EXISTS": 1}.get(args[0])


class Queue(ArqRedis):
    """arq's connections, which can be told to hand out no job any more."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_shut = False
        # The worker has asked since, so it is not taking jobs of an earlier answer.
        self.is_quiet = asyncio.Event()

    def shut(self) -> None:
        """Have nothing for a worker that asks."""
        self._is_shut = True

    def pipeline(self, transaction: Any = True, shard_hint: Any = None) -> Any:  # noqa: FBT002 (theirs)
        """Return a pipeline that outlives a connection which breaks while a job is taken."""
        return _Taking(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    async def zrangebyscore(self, *args: Any, **kwargs: Any) -> Any:
        """Give the jobs that are ready to run; it is what arq's worker asks for at each poll."""
        if self._is_shut:
            self.is_quiet.set()
            return []
        return await super().zrangebyscore(*args, **kwargs)


def queue(redis: RedisPlace, *, db: int, socket_timeout_s: float = SOCKET_TIMEOUT_S) -> Queue:
    """Return arq's connections, which try again through an outage until it is over."""
    retry = _Patience(ExponentialBackoff(cap=_LONGEST_PAUSE_S, base=0.05), _FOR_EVER)
    chosen = {
        **redis.arguments,
        "db": db,
        "socket_timeout": socket_timeout_s,
        "socket_connect_timeout": socket_timeout_s,
        "retry": retry,
        "retry_on_timeout": True,
        # A refused connection is an OSError as long as redis-py has not renamed it.
        # One that is full, or has become a replica, is as good as away.
        "retry_on_error": [
            RedisConnectionError,
            RedisTimeoutError,
            OSError,
            OutOfMemoryError,
            ReadOnlyError,
        ],
    }
    client = Queue(
        _Pool(**chosen),
        job_serializer=wire.dumps,
        job_deserializer=wire.loads,
        default_queue_name=wire.QUEUE,
    )
    client.auto_close_connection_pool = True
    return client


async def answers(redis: RedisPlace) -> bool:
    """Say whether Redis is there; one that is away may come yet. Raises BadSetting if refused."""
    async with live(redis, db=0) as client:
        try:
            return bool(await client.ping())
        except AuthenticationError as error:
            raise BadSetting(
                f"REDIS_PASSWORD or REDIS_URL: got a password that Redis refuses ({error}), "
                "must be the one that Redis was given"
            ) from error
        except (RedisError, OSError):
            return False


def live(redis: RedisPlace, *, db: int) -> Redis:
    """Return connections for live state, which give up at once: news are no good later."""
    return Redis.from_pool(redis.pool(db, socket_timeout=1.0, socket_connect_timeout=1.0))


def settings(redis: RedisPlace, *, db: int) -> RedisSettings:
    """Return the same place in arq's own form, for `arq --check`, which makes its own pool."""
    known: dict[str, Any] = redis.arguments
    return RedisSettings(
        host=known.get("host", "localhost"),
        port=known.get("port", 6379),
        unix_socket_path=known.get("path"),
        database=db,
        username=known.get("username"),
        password=known.get("password"),
        ssl="SSL" in getattr(known.get("connection_class"), "__name__", ""),
    )
