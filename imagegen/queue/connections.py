"""Redis connections of the worker: they retry through an outage and never hang on a frozen server."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from arq.connections import RedisSettings
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from chatflow_hook.queue import QUEUE, dumps, loads
from chatflow_hook.settings import BadSetting, RedisPlace
from imagegen.queue.job_queue import JobQueue

AnswerT = TypeVar("AnswerT")

# arq's RedisSettings has no socket timeout, and without one a frozen Redis hangs the worker.
SOCKET_TIMEOUT_S = 5.0
# redis-py's number of retries for "without end": no outage ends the worker, however long it is.
_RETRY_WITHOUT_END = -1
_MAX_BACKOFF_S = 1.0
_WRITE_REFUSALS = ("MISCONF ", "NOREPLICAS ")


def job_queue(
    redis: RedisPlace, *, db: int, socket_timeout_s: float = SOCKET_TIMEOUT_S
) -> JobQueue:
    """Return arq's Redis client, which retries a command until an outage is over.

    It opens its connections when they are first needed; the caller closes it.
    """
    arguments = {
        **redis.arguments,
        "db": db,
        "socket_timeout": socket_timeout_s,
        "socket_connect_timeout": socket_timeout_s,
        "retry": _WriteRefusalRetry(
            ExponentialBackoff(cap=_MAX_BACKOFF_S, base=0.05), _RETRY_WITHOUT_END
        ),
        "retry_on_timeout": True,
        # OSError: a refused connection is one until redis-py has translated it. OutOfMemoryError
        # and ReadOnlyError: a Redis that is full or has become a replica is an outage like others.
        "retry_on_error": [
            RedisConnectionError,
            RedisTimeoutError,
            OSError,
            OutOfMemoryError,
            ReadOnlyError,
        ],
    }
    client = JobQueue(
        _HandshakeRetryPool(**arguments),
        job_serializer=dumps,
        job_deserializer=loads,
        default_queue_name=QUEUE,
    )
    client.auto_close_connection_pool = True
    return client


async def is_answering(redis: RedisPlace) -> bool:
    """Return whether Redis answers; False means an outage that may pass.

    Raises:
        BadSetting: Redis refuses the password.
    """
    async with result_connection(redis, db=0) as client:
        try:
            return bool(await client.ping())
        except AuthenticationError as error:
            raise BadSetting(
                f"REDIS_PASSWORD or REDIS_URL: got a password that Redis refuses ({error}), "
                "must be the one that Redis was given"
            ) from error
        except (RedisError, OSError):
            return False


def result_connection(redis: RedisPlace, *, db: int) -> Redis:
    """Return a client for live state, with timeouts of 1 s and no retries; the caller closes it.

    Progress that arrives late is of no use, so a command that fails is not sent again.
    """
    return Redis.from_pool(redis.pool(db, socket_timeout=1.0, socket_connect_timeout=1.0))


def arq_settings(redis: RedisPlace, *, db: int) -> RedisSettings:
    """Return the address of Redis in arq's own form, for `arq --check`, which connects by itself."""
    arguments: dict[str, Any] = redis.arguments
    return RedisSettings(
        host=arguments.get("host", "localhost"),
        port=arguments.get("port", 6379),
        unix_socket_path=arguments.get("path"),
        database=db,
        username=arguments.get("username"),
        password=arguments.get("password"),
        ssl="SSL" in getattr(arguments.get("connection_class"), "__name__", ""),
    )


class _HandshakeRetryPool(ConnectionPool):
    """Retries until a connection is usable, its handshake (AUTH, SELECT, CLIENT) included.

    redis-py's own retry does not cover the handshake: a connection opened to a frozen Redis would
    end the worker.
    """

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Connect the connection, or check that it is still connected."""
        connect = super().ensure_connection
        await connection.retry.call_with_retry(
            lambda: connect(connection), lambda _: connection.disconnect()
        )


class _WriteRefusalRetry(Retry):
    """Retries also when Redis refuses writes: its disk is full, or its replicas are away.

    redis-py chooses what to retry by the class of the error, and has no class for some of these
    refusals. They are raised as ReadOnlyError here, which `job_queue` lists under `retry_on_error`.
    """

    async def call_with_retry(
        self, do: Callable[[], Awaitable[AnswerT]], fail: Callable[[RedisError], Any]
    ) -> AnswerT:
        """Call `do` until it succeeds; `fail` is called after each error that is retried."""

        async def do_or_raise_read_only() -> AnswerT:
            try:
                return await do()
            except ResponseError as error:
                if any(refusal in str(error) for refusal in _WRITE_REFUSALS):
                    raise ReadOnlyError(str(error)) from error
                raise

        return await super().call_with_retry(do_or_raise_read_only, fail)
