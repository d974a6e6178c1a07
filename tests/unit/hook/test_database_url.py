"""DATABASE_URL in all the forms that people and providers write."""

import ssl
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatflow_hook.database_url import _unique_name, parse

_PASSWORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)

_UNIQUE_NAMES = {"prepared_statement_name_func": _unique_name}
_WITHOUT_CACHES = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
} | _UNIQUE_NAMES


@given(_PASSWORDS, _PASSWORDS)
@example("p@ss w%rd/?#!:[]", "a+b@c")
def test_any_password_and_user_come_through(password: str, user: str) -> None:
    address = parse(f"postgres://{quote(user, safe='')}:{quote(password, safe='')}@db:6432/bot")

    assert (address.url.username, address.url.password) == (user, password)
    assert (address.connect_args, address.url.port, address.url.database) == (
        {"host": "db"},
        6432,
        "bot",
    )


@given(_PASSWORDS.filter(lambda text: not set(text) & set("/?%")))
def test_a_password_that_was_not_encoded_comes_through_where_it_can(password: str) -> None:
    address = parse(f"postgresql://bot:{password}@db/bot")

    assert address.url.password == password


@given(st.text("a19:/?#@[]%&= ").map("geheim{}geheim".format))
@example("geheim/geheim")
@example("geheim?geheim=1&geheim")
@example("1/geheim")
def test_nothing_of_a_wrong_address_is_told(password: str) -> None:
    try:
        shown = repr(parse(f"postgresql://bot:{password}@db:port/bot?sslmode=geheim"))
    except ValueError as error:
        shown = str(error)

    assert "geheim" not in shown


def test_its_address_for_people_has_neither_user_nor_password() -> None:
    address = parse("postgres://geheim:geheim@db/bot?sslmode=require")

    assert address.place == "postgresql://db:5432/bot"


@pytest.mark.parametrize(
    "scheme",
    ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg2", "postgres+psycopg"],
)
def test_every_dialect_becomes_asyncpg(scheme: str) -> None:
    address = parse(f" {scheme}://u:p@db/bot\n")

    assert address.url.drivername == "postgresql+asyncpg"


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("sslmode=disable", {"ssl": "disable"}),
        ("sslmode=verify-full", {"ssl": "verify-full"}),
        ("ssl=true", {"ssl": "require"}),
        ("ssl=prefer", {"ssl": "prefer"}),
        (
            "sslmode=verify-ca&sslrootcert=/etc/root%20ca.crt",
            {"ssl": "verify-ca", "dsn": "postgresql://?sslrootcert=%2Fetc%2Froot+ca.crt"},
        ),
        ("application_name=chat+flow", {"server_settings": {"application_name": "chat+flow"}}),
        ("connect_timeout=7", {"timeout": 7.0}),
        ("connect_timeout=0", {}),
        ("options=-csearch_path%3Dbot", {"server_settings": {"search_path": "bot"}}),
        (
            "options=-c%20search_path=bot,public%20--work_mem=4MB&application_name=b",
            {
                "server_settings": {
                    "search_path": "bot,public",
                    "work_mem": "4MB",
                    "application_name": "b",
                }
            },
        ),
        ("options=-c%20DateStyle=ISO,%5C%20MDY", {"server_settings": {"DateStyle": "ISO, MDY"}}),
        ("statement_cache_size=0", {"statement_cache_size": 0}),
        ("prepared_statement_cache_size=10", {"prepared_statement_cache_size": 10}),
        ("prepared_statement_cache_size=0", {"prepared_statement_cache_size": 0} | _UNIQUE_NAMES),
        ("pgbouncer=true&connection_limit=1", _WITHOUT_CACHES),
        ("pool_mode=transaction", _WITHOUT_CACHES),
        ("sslmode=require&supa=base-pooler.x&pgbouncer=1", {"ssl": "require"} | _WITHOUT_CACHES),
        ("pgbouncer=false", {}),
        ("pool_mode=session", {}),
        ("sslmode=require&channel_binding=require", {"ssl": "require"}),
        (
            "options=endpoint%3Dep-cool-sun-1",
            {"server_settings": {"options": "endpoint=ep-cool-sun-1"}},
        ),
        ("sslnegotiation=direct&sslmode=require", {"direct_tls": True, "ssl": "require"}),
        ("sslnegotiation=postgres", {}),
        ("keepalives=1&keepalives_idle=5&keepalives_interval=5&keepalives_count=3", {}),
    ],
)
def test_options_become_what_asyncpg_takes(query: str, arguments: dict[str, Any]) -> None:
    address = parse(f"postgresql://u:p@db/bot?{query}")

    assert address.connect_args == {"host": "db"} | arguments


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgresql:///bot?host=/run/postgresql", "/run/postgresql", None),
        ("postgresql://u:p@/bot?host=/run/postgresql&port=6432", "/run/postgresql", 6432),
        ("postgresql://%2Frun%2Fpostgresql/bot", "/run/postgresql", None),
        ("postgresql://[::1]:6432/bot", "::1", 6432),
        ("postgresql://u@10.0.0.1/bot", "10.0.0.1", None),
    ],
)
def test_sockets_and_addresses_are_found(url: str, host: str, port: int | None) -> None:
    address = parse(url)

    assert (address.connect_args["host"], address.url.port) == (host, port)


def test_user_password_and_name_may_stand_in_the_query() -> None:
    address = parse("postgresql://db/?user=bot&password=a%26b&dbname=chat")

    assert (address.url.username, address.url.password) == ("bot", "a&b")
    assert address.url.database == "chat"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "does not begin with"),
        ("postgresql", "does not begin with"),
        ("mysql://u:p@db/bot", "does not begin with"),
        ("postgresql://u:p@db", "names no database"),
        ("postgresql://u:p@db/", "names no database"),
        ("postgresql://u:p@db:port/bot", "port is not a number"),
        ("postgresql://u:p@db:0/bot", "port is not a number"),
        ("postgresql://u:p@db:65536/bot", "port is not a number"),
        ("postgresql://u:p@db:99999999999999/bot", "port is not a number"),
        ("postgresql://u:p@one,two/bot", "without one host"),
        ("postgresql://u:p%00@db/bot", "zero byte"),
        ("postgresql://u:p@db/bot?sslmode=yes", "sslmode is none of disable, allow"),
        ("postgresql://u:p@db/bot?colour=red", "an option that is none of host"),
        ("postgresql://u:p@db/bot?connect_timeout=soon", "connect_timeout is not a whole number"),
        ("postgresql://u:p@db/bot?options=search_path", "options are not written as"),
        ("postgresql://u:p@db/bot?pgbouncer=maybe", "pgbouncer is none of true, false"),
        ("postgresql://u:p@db/bot?pool_mode=statement", "pool_mode=statement, which allows no tr"),
        ("postgresql://u:p@db/bot?pool_mode=all", "pool_mode is none of session, transaction"),
        ("postgresql://u:p@db/bot?sslnegotiation=no", "sslnegotiation is none of postgres"),
        ("postgresql://u:p@db/bot?schema=chat", "the option schema, which is not supported: write"),
        ("postgresql://u:p@db/bot?prepareThreshold=0", "prepareThreshold, .*write pgbouncer=true"),
        ("postgresql://u:p@db/bot?service=chat", "the option service, which is not supported"),
    ],
)
def test_a_wrong_address_is_told_in_a_sentence(url: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse(url)


def test_the_certificates_of_the_system_are_checked_where_libpq_would_check_them() -> None:
    address = parse("postgresql://u:p@db/bot?sslmode=verify-full&sslrootcert=system")

    context = address.connect_args["ssl"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert address.files == {}


def test_the_password_is_hidden_when_the_address_is_shown() -> None:
    assert "geheim" not in repr(parse("postgresql://u:geheim@db/bot"))
