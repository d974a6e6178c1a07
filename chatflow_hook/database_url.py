"""Parses DATABASE_URL, in the forms that people and providers write, for SQLAlchemy and asyncpg."""

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode
from uuid import uuid4

from sqlalchemy import URL

_DRIVER = "postgresql+asyncpg"
_SCHEMES = re.compile(r"(postgres|postgresql)(\+(asyncpg|psycopg|psycopg2|psycopg2cffi|pg8000))?")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SSL_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_ADDRESS_PARTS = ("host", "port", "user", "password", "dbname")
_CACHES = ("statement_cache_size", "prepared_statement_cache_size")
# Options in the addresses of providers and other libraries that change nothing here: asyncpg
# negotiates the same by itself, the hook has its own pool, and there is one host only.
_IGNORED = (
    "channel_binding",
    "client_encoding",
    "connection_limit",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "pool_size",
    "pool_timeout",
    "sslcompression",
    "sslsni",
    "supa",
    "target_session_attrs",
    "tcp_user_timeout",
    "uselibpqcompat",
)
# Options that others know and that would change something, with what to write instead.
_REFUSED = {
    "currentSchema": "write options=-csearch_path%3D…",
    "hostaddr": "write the address as the host",
    "passfile": "write the password into the address",
    "prepared_statements": "write pgbouncer=true to do without them",
    "prepareThreshold": "write pgbouncer=true to do without prepared statements",
    "require_auth": "asyncpg cannot do that",
    "schema": "write options=-csearch_path%3D…",
    "search_path": "write options=-csearch_path%3D…",
    "service": "write host, port and database into the address",
    "ssl_min_protocol_version": "asyncpg takes it from the environment, as PGSSLMINPROTOCOLVERSION",
    "sslaccept": "write sslmode=require, or verify-full to check the certificate",
    "sslpassword": "use a key without a password",
    "statement_timeout": "write options=-cstatement_timeout%3D…",
}
_SETTING = re.compile(r"(?:-c|--)(?P<name>\w[\w.]*)=(?P<value>.*)", re.DOTALL)
_PROXY_OPTION = re.compile(r"(endpoint|project|reference)=[\w-]+")
_SYSTEM_CERTIFICATES = "system"
_TRUE_OR_FALSE = {"true": True, "1": True, "false": False, "0": False}
_HINT = "special characters of a password are written as percent codes, such as %2F for /"


@dataclass(frozen=True, kw_only=True)
class Address:
    """The address of a database and the arguments to connect to it; its repr hides the password.

    `files` are the files of certificates and keys that it names, by option.
    """

    url: URL
    connect_args: dict[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The address for people and logs, without user, password and options."""
        host = self.connect_args.get("host", "localhost")
        return f"postgresql://{host}:{self.url.port or 5432}/{self.url.database}"

    def engine_arguments(self) -> dict[str, Any]:
        """Return keyword arguments for `create_async_engine`."""
        return {"url": self.url, "connect_args": dict(self.connect_args)}


def parse(url: str) -> Address:
    """Parse a PostgreSQL URL with any common scheme and the options of libpq.

    Raises:
        ValueError: it is no such URL. The message says what it is instead, and quotes nothing of
            it, since any part may be a piece of a password that was not percent-encoded.
    """
    scheme, _, rest = url.strip().partition("://")
    if not rest or not _SCHEMES.fullmatch(scheme):
        raise ValueError("an address that does not begin with postgresql:// or postgres://")
    location, _, query = rest.partition("?")
    options = _options(query)
    parts = _address_parts(location) | {
        name: options[name] for name in _ADDRESS_PARTS if name in options
    }
    if not parts.get("dbname"):
        raise ValueError("an address that names no database")
    return Address(
        url=URL.create(
            _DRIVER,
            username=parts.get("user"),
            password=parts.get("password"),
            port=_port(parts.get("port")),
            database=parts["dbname"],
        ),
        connect_args=_host(parts.get("host")) | _connect_args(options),
        files=_files(options),
    )


def _options(query: str) -> dict[str, str]:
    # A plus stays a plus, as in libpq; parse_qsl alone would turn it into a space.
    options = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))
    known = (*_ADDRESS_PARTS, *_READERS, *_SSL_FILES, *_CACHES, *_IGNORED)
    for name, instead in _REFUSED.items():
        if name in options:
            raise ValueError(
                f"an address with the option {name}, which is not supported: {instead}"
            )
    if not options.keys() <= set(known):
        raise ValueError(f"an address with an option that is none of {', '.join(known)}")
    return _without_nul(options)


def _address_parts(location: str) -> dict[str, str]:
    authority, _, database = location.partition("/")
    if "@" in database:
        raise ValueError(f"an address with a / before its @ ({_HINT})")
    credentials, _, host_and_port = authority.rpartition("@")
    user, _, password = credentials.partition(":")
    host, port = _split_port(host_and_port)
    parts = {"user": user, "password": password, "host": host, "port": port, "dbname": database}
    return _without_nul({name: unquote(part) for name, part in parts.items() if part})


def _split_port(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^:\[\],]*)(?::(?P<port>[^:]*))?", text)
    if match is None:
        raise ValueError(f"an address without one host and port ({_HINT})")
    return match["host"].strip("[]"), match["port"] or ""


def _without_nul(parts: dict[str, str]) -> dict[str, str]:
    if any("\0" in part for part in parts.values()):
        raise ValueError("an address with a zero byte in it")
    return parts


def _port(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 2**16):
        raise ValueError(f"an address whose port is not a number from 1 to 65535 ({_HINT})")
    return int(text)


def _host(host: str | None) -> dict[str, Any]:
    # As an argument and not in the URL: SQLAlchemy takes the directory of a socket only here.
    return {"host": host} if host else {}


def _connect_args(options: dict[str, str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, read in _READERS.items():
        if name in options:
            arguments = _merge(arguments, read(options[name]))
    for name in _CACHES:
        if name in options:
            arguments[name] = _whole_number(name, options[name])
    if arguments.get(_CACHES[1]) == 0:
        arguments["prepared_statement_name_func"] = _unique_name
    if files := _files(options):
        # asyncpg takes these files only from a DSN. The other arguments take precedence over it.
        arguments["dsn"] = f"postgresql://?{urlencode(files)}"
    return arguments


def _files(options: dict[str, str]) -> dict[str, str]:
    return {
        name: options[name]
        for name in _SSL_FILES
        if name in options and options[name] != _SYSTEM_CERTIFICATES
    }


def _merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    settings = one.get("server_settings", {}) | other.get("server_settings", {})
    return one | other | ({"server_settings": settings} if settings else {})


def _ssl(mode: str) -> dict[str, Any]:
    mode = {"true": "require", "false": "disable"}.get(mode, mode)
    if mode not in _SSL_MODES:
        raise ValueError(f"an address whose sslmode is none of {', '.join(_SSL_MODES)}")
    return {"ssl": mode}


def _root_certificates(path: str) -> dict[str, Any]:
    # libpq's word for the certificates of the operating system, which asyncpg does not know.
    return {"ssl": ssl.create_default_context()} if path == _SYSTEM_CERTIFICATES else {}


def _ssl_negotiation(way: str) -> dict[str, Any]:
    if way not in ("postgres", "direct"):
        raise ValueError("an address whose sslnegotiation is none of postgres, direct")
    return {"direct_tls": True} if way == "direct" else {}


def _pgbouncer(text: str) -> dict[str, Any]:
    if text not in _TRUE_OR_FALSE:
        raise ValueError("an address whose pgbouncer is none of true, false")
    return _pool_mode("transaction" if _TRUE_OR_FALSE[text] else "session")


def _pool_mode(mode: str) -> dict[str, Any]:
    match mode:
        case "session":
            return {}
        case "transaction":
            # A connection of PgBouncer is another one of PostgreSQL in each transaction, which has
            # the prepared statements of others and not ours.
            return dict.fromkeys(_CACHES, 0)
        case "statement":
            raise ValueError(
                "an address with pool_mode=statement, which allows no transactions:"
                " use transaction or session"
            )
    raise ValueError("an address whose pool_mode is none of session, transaction")


def _unique_name() -> str:
    # asyncpg numbers its statements from 1 in each process, so that two processes whose
    # transactions share a connection of PgBouncer would use the same names.
    return f"__chatflow_{uuid4()}__"


def _application_name(name: str) -> dict[str, Any]:
    return {"server_settings": {"application_name": name}}


def _connect_timeout(text: str) -> dict[str, Any]:
    # In libpq, 0 means no limit; the hook's own limit stays then.
    seconds = _whole_number("connect_timeout", text)
    return {"timeout": float(seconds)} if seconds else {}


def _server_options(text: str) -> dict[str, Any]:
    # The proxies of Neon and Supabase find the database by such an option.
    if _PROXY_OPTION.fullmatch(text):
        return {"server_settings": {"options": text}}
    # "-c name=value" and "--name=value", separated by spaces; a backslash escapes the next character.
    words = re.split(r"(?<!\\)\s+", re.sub(r"(?<!\S)-c\s+", "-c", text.strip()))
    matches = [_SETTING.fullmatch(word) for word in words if word]
    if not all(matches):
        raise ValueError("an address whose options are not written as -c name=value")
    settings = {
        match["name"]: re.sub(r"\\(.)", r"\1", match["value"]) for match in matches if match
    }
    return {"server_settings": settings}


def _whole_number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"an address whose {name} is not a whole number")
    return int(text[:9])


_READERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "ssl": _ssl,
    "sslmode": _ssl,
    # After the mode, which it takes the place of.
    "sslrootcert": _root_certificates,
    "sslnegotiation": _ssl_negotiation,
    "pgbouncer": _pgbouncer,
    "pool_mode": _pool_mode,
    "application_name": _application_name,
    "connect_timeout": _connect_timeout,
    "options": _server_options,
}
