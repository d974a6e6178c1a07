"""Says why a Redis server cannot be used, and what to do: one sentence for operators."""

import socket
import ssl

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from chatflow_hook import connection_errors

_SILENT = (
    "it is frozen, behind a firewall, or one of us uses TLS (rediss://) and the other does not"
)
# What to do, by the error of the system. The first that fits counts.
_ADVICE: dict[type[Exception], str] = {
    ssl.SSLCertVerificationError: (
        "renew it, or name its CA as ssl_ca_certs=/path/ca.pem in REDIS_URL"
    ),
    ssl.SSLError: "redis:// is without TLS, rediss:// with it",
    socket.gaierror: "look at REDIS_URL or REDIS_HOST",
    FileNotFoundError: "look at the path of the socket",
    PermissionError: "look at the rights of the socket",
    TimeoutError: _SILENT,
    RedisTimeoutError: _SILENT,
    ConnectionResetError: "it restarts, or expects TLS (rediss://)",
}
# What the server refuses until somebody changes the server. redis-py has no class for most of it.
_NO_SUCH_DATABASE = ("DB index is out of range", "SELECT is not allowed in cluster mode")
_BY_ANSWER = {
    "MISCONF": "cannot write to its disk: look at the server's disk and its log",
    "NOREPLICAS": "has too few replicas to write: look at them, or at min-replicas-to-write",
    "DENIED": "is in protected mode: give it a password, or let it listen on the loopback only",
    "CLUSTERDOWN": "is part of a cluster that is down",
    "MASTERDOWN": "is a replica whose primary is away",
    _NO_SUCH_DATABASE[0]: (
        "has no database of that number: lower REDIS_BROKER_DB and REDIS_RESULT_DB, "
        "or raise `databases` of the server"
    ),
    _NO_SUCH_DATABASE[1]: (
        "is a cluster, which has no numbered databases: use a server that is none"
    ),
}


def is_outage(error: BaseException) -> bool:
    """Whether the server or the way to it is the cause, and not the command."""
    kinds = RedisConnectionError | RedisTimeoutError | InvalidResponse | OSError
    return isinstance(error, kinds) or is_refusal(error)


def is_refusal(error: BaseException) -> bool:
    """Whether the server answers, and refuses the command until somebody changes the server."""
    return isinstance(error, NoPermissionError | OutOfMemoryError | ReadOnlyError) or (
        isinstance(error, ResponseError) and _by_answer(error) is not None
    )


def is_no_such_database(error: BaseException) -> bool:
    """Whether the server has no database of the number that we selected."""
    return any(text in str(error) for text in _NO_SUCH_DATABASE)


def why(error: BaseException, address: str, *, user: str | None = None) -> str:
    """Return one sentence with the address, the reason and what to do.

    `address` is that of `RedisPlace.address`, without a password. The server's own words are not
    repeated, since it may repeat a password in them.
    """
    reasons = (_reason(each, user) for each in connection_errors.causes(error))
    reason = next((text for text in reasons if text is not None), None)
    return f"{address} {reason or f'failed: {type(error).__name__}'}"


def _reason(error: BaseException, user: str | None) -> str | None:
    match error:
        case OSError() | RedisTimeoutError():
            advice = next((text for kind, text in _ADVICE.items() if isinstance(error, kind)), None)
            reason = connection_errors.reason(error) or "does not answer in time"
            return reason if advice is None else f"{reason}: {advice}"
        case RedisError():
            return _reason_of_answer(error, user)
        case _:
            return None


def _reason_of_answer(error: RedisError, user: str | None) -> str | None:
    by_answer = _by_answer(error)
    if by_answer is not None:
        return by_answer
    match error:
        case AuthenticationError():
            who = "the password" if user is None else f"the user {user!r} or its password"
            return f"refuses {who}: look at REDIS_URL or REDIS_PASSWORD"
        case NoPermissionError():
            return f"does not let {user or 'default'!r} {_forbidden(error)}: see docs/settings.md"
        case BusyLoadingError():
            return "loads its data: it answers when that is done"
        case OutOfMemoryError():
            return "is full: raise `maxmemory`, or find out what fills it"
        case ReadOnlyError():
            return "is a replica, which takes no writes: give the address of the primary"
        case InvalidResponse():
            return "is no Redis: something else listens there"
        case RedisConnectionError() if "closed by server" in str(error):
            return "closed the connection: it restarts, has too many clients, or expects TLS"
        case RedisConnectionError() if "max number of clients" in str(error):
            return "has too many clients: raise `maxclients`"
        case _:
            return None


def _by_answer(error: BaseException) -> str | None:
    text = str(error)
    return next((reason for start, reason in _BY_ANSWER.items() if start in text), None)


def _forbidden(error: NoPermissionError) -> str:
    """Return what an ACL forbids: a command, whose name the server quotes, a key, or a channel."""
    text = str(error)
    if " channel" in text:
        return "use a channel of ours, the rule imagegen:* is missing"
    if " key" in text:
        return "use a key of ours, the rules arq:* and imagegen:* are missing"
    command = text.rpartition("the '")[2].partition("'")[0]
    return f"use {command.upper().replace('|', ' ')}" if command.isascii() else "use a command"
