"""What is said of a Redis that cannot be used: real servers, real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chatflow_hook import redis_errors
from chatflow_hook.settings import RedisSettings
from imagegen.sandbox.servers.valkey import ValkeyServer
from tests.support import tls
from tests.support.patience import PATIENCE_S

PASSWORD = "hush-redis"


async def said(url: str, *command: str, db: int = 0, timeout_s: float = 0.3) -> str:
    """Return what is said of the error that a command ends with."""
    place = RedisSettings(_env_file=None, redis_url=url).redis
    pool = place.pool(db, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)
    async with Redis.from_pool(pool) as client:
        with pytest.raises((RedisError, OSError)) as caught:
            await client.execute_command(*(command or ("PING",)))  # type: ignore[no-untyped-call]
    assert redis_errors.is_outage(caught.value)
    sentence = redis_errors.why(caught.value, place.address, user=place.user)
    assert sentence.startswith(place.address)
    assert "hush" not in sentence
    return sentence


@asynccontextmanager
async def answering(words: bytes) -> AsyncIterator[int]:
    """Serve a port that gives this answer to each command, or else closes the connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (commands := await reader.read(65536)) and words:
            writer.write(words * commands.count(b"*"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer(password=PASSWORD) as server:
        yield server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_port_on_which_nothing_listens(host: str) -> None:
    assert "refuses the connection: nothing listens there" in await said(f"redis://{host}:1")


async def test_a_host_name_that_is_not_known() -> None:
    assert "host name that is not known" in await said("redis://no.such.host.invalid")


async def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be reached: ENOENT: look at the path of the socket" in await said(
        f"unix://{tmp_path}/redis.sock"
    )


async def test_a_server_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sentence = await said(f"redis://127.0.0.1:{silent.getsockname()[1]}")

    assert "does not answer in time: it is frozen, behind a firewall" in sentence


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is no Redis"),
        (b"", "expects TLS"),
        (b"-DENIED Redis is running in protected mode because\r\n", "is in protected mode"),
        (b"-ERR max number of clients reached\r\n", "raise `maxclients`"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loads its data"),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", "cannot write to its disk"),
        (b"-NOREPLICAS Not enough good replicas to write.\r\n", "too few replicas"),
    ],
)
async def test_answers_of_other_servers_and_of_servers_in_trouble(words: bytes, why: str) -> None:
    async with answering(words) as port:
        assert why in await said(f"redis://127.0.0.1:{port}")


async def test_a_wrong_password_and_none(valkey: ValkeyServer) -> None:
    for credentials in ("", ":hush-wrong@"):
        sentence = await said(f"redis://{credentials}127.0.0.1:{valkey.port}")

        assert "refuses the password: look at REDIS_URL or REDIS_PASSWORD" in sentence


async def test_a_database_number_that_the_server_does_not_have(valkey: ValkeyServer) -> None:
    assert "lower REDIS_BROKER_DB and REDIS_RESULT_DB" in await said(valkey.url, db=99)


async def test_a_user_whose_acl_forbids_a_command_a_key_or_a_channel(valkey: ValkeyServer) -> None:
    async with Redis.from_url(valkey.url) as admin:
        await admin.execute_command(
            "ACL", "SETUSER", "bot", "on", f">{PASSWORD}", "+@all", "-info", "~arq:*", "&none"
        )
    url = f"redis://bot:{PASSWORD}@127.0.0.1:{valkey.port}"

    assert "does not let 'bot' use INFO: see docs/settings.md" in await said(url, "INFO", "server")
    assert "use a key of ours" in await said(url, "GET", "imagegen:live")
    assert "use a channel of ours" in await said(url, "PUBLISH", "imagegen:ended:1", "x")
    sentence = await said(f"redis://bot:hush-wrong@127.0.0.1:{valkey.port}")
    assert "refuses the user 'bot' or its password" in sentence


async def test_a_server_that_is_full_and_one_that_is_a_replica() -> None:
    with ValkeyServer(password=PASSWORD) as server:
        async with Redis.from_url(server.url) as admin:
            await admin.config_set("maxmemory", "1")
            assert "is full: raise `maxmemory`" in await said(server.url, "SET", "a", "b")
            await admin.config_set("maxmemory", "0")
            await admin.execute_command("REPLICAOF", "127.0.0.1", "1")
            assert "is a replica, which takes no writes" in await said(server.url, "SET", "a", "b")


async def test_tls_that_only_one_of_the_two_speaks(valkey: ValkeyServer, tmp_path: Path) -> None:
    certificate = tls.make_certificate(tmp_path)
    async with tls.terminated(valkey.port, certificate) as port:
        plain_to_tls = await said(f"redis://:{PASSWORD}@127.0.0.1:{port}")
    tls_to_plain = await said(f"rediss://:{PASSWORD}@127.0.0.1:{valkey.port}")

    assert "TLS" in plain_to_tls
    assert "TLS" in tls_to_plain


@pytest.mark.parametrize(
    ("valid_s", "names_ca", "why"),
    [(3600.0, False, "self-signed certificate"), (-60.0, True, "certificate has expired")],
)
async def test_a_certificate_that_is_not_trusted(
    valkey: ValkeyServer, tmp_path: Path, valid_s: float, why: str, *, names_ca: bool
) -> None:
    certificate = tls.make_certificate(tmp_path, valid_s=valid_s)
    options = f"?ssl_ca_certs={certificate.certificate}" if names_ca else ""
    async with tls.terminated(valkey.port, certificate) as port:
        url = f"rediss://:{PASSWORD}@127.0.0.1:{port}{options}"
        sentence = await said(url, timeout_s=PATIENCE_S)

    assert f"is not trusted ({why}" in sentence
    assert "ssl_ca_certs=/path/ca.pem in REDIS_URL" in sentence
