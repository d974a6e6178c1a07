"""Redis connections of the worker: they retry through an outage and never hang on a frozen server."""

from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, TypeVar

import structlog
from arq.connections import RedisSettings
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, Connection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import AuthenticationError, ReadOnlyError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from chatflow_hook import redis_errors
from chatflow_hook.queue import QUEUE, dumps, loads
from chatflow_hook.redis_pool import IdleClosingPool
from chatflow_hook.settings import BadSetting, RedisPlace
from chatflow_hook.settings import RedisSettings as OurRedisSettings
from imagegen.queue import redis_connection
from imagegen.queue.job_queue import POLL_EVERY_S, JobQueue

AnswerT = TypeVar("AnswerT")

log = structlog.get_logger(__name__)

# arq's RedisSettings has no socket timeout, and without one a frozen Redis hangs the worker.
SOCKET_TIMEOUT_S = 5.0
_RESULT_TIMEOUTS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
# redis-py's number of retries for "without end": no outage ends the worker, however long it is.
_RETRY_WITHOUT_END = -1
_MAX_BACKOFF_S = 1.0
# The fields that redis-py's connection and arq's own settings have in common.
_TLS_ARGUMENTS = (
    "ssl_keyfile",
    "ssl_certfile",
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_ca_data",
    "ssl_check_hostname",
)


def job_queue(
    redis: RedisPlace,
    *,
    db: int,
    worker: str = "1",
    socket_timeout_s: float = SOCKET_TIMEOUT_S,
    poll_every_s: float = POLL_EVERY_S,
) -> JobQueue:
    """Return arq's Redis client, which retries a command until an outage is over.

    `worker` is the id of the worker that takes jobs with it. It opens its connections when they are
    first needed; the caller closes it.
    """
    arguments = {
        **redis.arguments,
        "db": db,
        "socket_timeout": socket_timeout_s,
        "socket_connect_timeout": socket_timeout_s,
        "retry": _OutageRetry(
            ExponentialBackoff(cap=_MAX_BACKOFF_S, base=0.05), _RETRY_WITHOUT_END, place=redis
        ),
        "retry_on_timeout": True,
        # OSError: a refused connection is one until redis-py has translated it. ReadOnlyError: what
        # _OutageRetry makes of a refusal.
        "retry_on_error": [RedisConnectionError, RedisTimeoutError, OSError, ReadOnlyError],
    }
    client = JobQueue(
        _HandshakeRetryPool(**arguments),
        worker=worker,
        job_serializer=dumps,
        job_deserializer=loads,
        default_queue_name=QUEUE,
        poll_every_s=poll_every_s,
    )
    client.auto_close_connection_pool = True
    return client


async def outage(settings: OurRedisSettings) -> str | None:
    """Return why Redis cannot be used now, in a sentence for operators; None if it answers.

    Raises:
        BadSetting: Redis refuses the password, or has no database of one of the numbers.
    """
    place = settings.redis
    for db in (settings.redis_broker_db, settings.redis_result_db):
        async with silent_connection(place, db=db) as client:
            try:
                await client.ping()
            except (RedisError, OSError) as error:
                sentence = redis_errors.why(error, place.address, user=place.user)
                if isinstance(error, AuthenticationError):
                    raise BadSetting(f"REDIS_PASSWORD or REDIS_URL: {sentence}") from error
                if redis_errors.is_no_such_database(error):
                    raise BadSetting(f"REDIS_BROKER_DB and REDIS_RESULT_DB: {sentence}") from error
                return sentence
    return None


def result_connection(redis: RedisPlace, *, db: int) -> Redis:
    """Return a client for live state, with timeouts of 1 s and no retries; the caller closes it.

    Progress that arrives late is of no use, so a command that fails is not sent again.
    """
    arguments = {
        **redis.arguments,
        "db": db,
        **_RESULT_TIMEOUTS,
        "retry": _OutageRetry(NoBackoff(), 0, place=redis),
    }
    return Redis.from_pool(_HandshakeRetryPool(**arguments))


def silent_connection(redis: RedisPlace, *, db: int) -> Redis:
    """Return a client like that of `result_connection`, which does not log what goes wrong.

    For callers that say it themselves; the caller closes it.
    """
    return Redis.from_pool(redis.pool(db, **_RESULT_TIMEOUTS))


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
        ssl=redis.is_tls,
        # A check that fails fails at once: whoever runs it asks again.
        conn_retries=0,
        **{name: arguments[name] for name in _TLS_ARGUMENTS if name in arguments},
    )


class _HandshakeRetryPool(IdleClosingPool):
    """Retries until a connection is usable, its handshake (AUTH, SELECT, CLIENT) included.

    redis-py's own retry does not cover the handshake: a connection opened to a frozen Redis would
    end the worker.
    """

    def __init__(
        self, *, connection_class: type[AbstractConnection] = Connection, **arguments: Any
    ) -> None:
        super().__init__(connection_class=redis_connection.direct(connection_class), **arguments)

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Connect the connection, or check that it is still connected."""
        if redis_connection.is_quiet(connection):
            return
        connect = super().ensure_connection
        await connection.retry.call_with_retry(
            lambda: connect(connection), lambda _: connection.disconnect()
        )


class _OutageRetry(Retry):
    """Logs why Redis cannot be used at each failure, and retries also what Redis refuses.

    A refusal lasts until somebody changes the server: its disk is full, its replicas are away, or
    its ACL forbids a command. redis-py chooses what to retry by the class of the error, and has no
    class for some of them. They are raised as ReadOnlyError here, which `job_queue` lists under
    `retry_on_error`.
    """

    def __init__(self, *args: Any, place: RedisPlace, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._place = place

    async def call_with_retry(
        self, do: Callable[[], Awaitable[AnswerT]], fail: Callable[[RedisError], Any]
    ) -> AnswerT:
        """Call `do` until it succeeds; `fail` is called after each error that is retried."""

        async def do_or_log() -> AnswerT:
            try:
                return await do()
            except (RedisError, OSError) as error:
                if redis_errors.is_outage(error):
                    self._log(error)
                if redis_errors.is_refusal(error):
                    raise ReadOnlyError(str(error)) from error
                raise

        return await super().call_with_retry(do_or_log, fail)

    def _log(self, error: RedisError | OSError) -> None:
        place = self._place
        # In an empty context: the outage is not that of the request in whose job it is noticed.
        Context().run(
            log.warning,
            "redis cannot be used",
            why=redis_errors.why(error, place.address, user=place.user),
        )
