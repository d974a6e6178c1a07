"""Parses REDIS_URL, in the forms that people, providers and Celery write, for redis-py."""

import ssl
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from redis.asyncio.connection import ConnectionPool, SSLConnection, parse_url
from redis.exceptions import RedisError

_SCHEMES = ("redis", "rediss", "unix")
_OPTIONS = (
    "db",
    "username",
    "password",
    "client_name",
    "health_check_interval",
    "max_connections",
    "protocol",
    "retry_on_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_timeout",
)
_TLS_OPTIONS = (
    "ssl_ca_certs",
    "ssl_ca_data",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_ciphers",
    "ssl_keyfile",
)
# Options of other libraries in the URLs of providers. redis-py does the same by itself.
_IGNORED = ("family",)
_CERT_REQS = ("none", "optional", "required")
_HINT = "special characters of a password are written as percent codes, such as %2F for /"


def parse(url: str) -> dict[str, Any]:
    """Parse the address of a Redis server; return the arguments of a redis-py connection pool.

    It touches no network, but reads the files of certificates that the address names.

    Raises:
        ValueError: it is no such address. The message says what it is instead, and quotes nothing
            of it, since any part may be a piece of a password that was not percent-encoded.
    """
    scheme, separator, location = url.strip().partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ValueError("an address that does not begin with redis://, rediss:// or unix://")
    if "#" in url:
        raise ValueError("an address with a bare # (in a password write %23)")
    location, _, query = location.partition("?")
    _check_location(scheme, location)
    options = _options(scheme, query)
    return _arguments(f"{scheme}://{location}?{urlencode(options)}")


def _check_location(scheme: str, location: str) -> None:
    authority, _, path = location.partition("/")
    if scheme == "unix":
        if not path:
            raise ValueError("an address that names no socket (unix:///path/of/the.sock)")
        return
    if "@" in path:
        raise ValueError(f"an address with a / before its @ ({_HINT})")
    try:
        port = urlsplit(f"//{authority.rpartition('@')[2]}").port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"an address without one host and port ({_HINT})")


def _options(scheme: str, query: str) -> dict[str, str]:
    # A plus stays a plus; parse_qs alone would turn it into a space.
    values = parse_qs(query.replace("+", "%2B"))
    options = {name: given[-1] for name, given in values.items() if name not in _IGNORED}
    if not options.keys() <= {*_OPTIONS, *_TLS_OPTIONS}:
        raise ValueError(
            "an address with an option that is none of "
            f"{', '.join((*_OPTIONS, *_TLS_OPTIONS, *_IGNORED))}"
        )
    if scheme != "rediss" and not options.keys().isdisjoint(_TLS_OPTIONS):
        raise ValueError("an address with options of TLS that does not begin with rediss://")
    if "ssl_cert_reqs" in options:
        options["ssl_cert_reqs"] = _cert_reqs(options["ssl_cert_reqs"])
    return options


def _cert_reqs(value: str) -> str:
    # Celery writes CERT_NONE, redis-py none.
    name = value.lower().removeprefix("cert_")
    if name not in _CERT_REQS:
        raise ValueError(f"an address whose ssl_cert_reqs is none of {', '.join(_CERT_REQS)}")
    return name


def _arguments(url: str) -> dict[str, Any]:
    # redis-py makes a connection, which it does not open, and loads its certificates.
    try:
        arguments: dict[str, Any] = {**parse_url(url)}
        connection = ConnectionPool(**arguments).make_connection()  # type: ignore[no-untyped-call]
        if isinstance(connection, SSLConnection):
            connection.ssl_context.get()
    except FileNotFoundError:
        raise ValueError(
            "an address that names a file of a certificate that is not there"
        ) from None
    except PermissionError:
        raise ValueError(
            "an address that names a file of a certificate that this user may not read"
        ) from None
    except ssl.SSLError:
        raise ValueError(
            "an address that names a file which is no certificate or key in PEM form"
        ) from None
    except (RedisError, OSError, TypeError, ValueError):
        raise ValueError(
            "an address with an option, or the value of one, that redis-py does not take"
        ) from None
    return arguments
