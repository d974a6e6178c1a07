"""The worker's engine when PostgreSQL answers, falls silent, or is gone."""

import asyncio
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import BindParameter, bindparam, cast, insert, make_url, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chatflow_hook.direct_query import DirectQuery
from chatflow_hook.tables import Dialog
from imagegen.db.engine import DatabaseRefused, connect, first, run_in_transaction
from imagegen.errors import Unavailable
from tests.support import broken_databases, conversations
from tests.support.conversations import Sessions
from tests.support.database_proxy import proxy_to
from tests.support.patience import PATIENCE_S
from tests.support.pgbouncer import PROGRAM, PgBouncer


async def test_a_row_can_be_read_after_the_commit(
    sessions: Sessions,
) -> None:
    async with sessions.begin() as session:
        dialog = Dialog(id=1, message_count=3)
        session.add(dialog)

    assert dialog.message_count == 3


async def test_a_secret_address_is_taken(database_url: str) -> None:
    engine = connect(SecretStr(database_url), pool_size=1)

    async with engine.connect() as connection:
        name = await connection.scalar(text("SELECT current_setting('application_name')"))

    assert name == "chatflow-imagegen"
    await engine.dispose()


async def test_the_connection_that_was_used_last_is_used_again(database_url: str) -> None:
    engine = connect(database_url, pool_size=2)
    own_number = text("SELECT pg_backend_pid()")

    async with engine.connect() as one, engine.connect() as other:
        numbers = {await each.scalar(own_number) for each in (one, other)}
    used = []
    for _ in range(3):
        async with engine.connect() as connection:
            used.append(await connection.scalar(own_number))

    assert len(numbers) == 2
    assert len(set(used)) == 1
    await engine.dispose()


async def test_a_server_that_falls_silent_in_a_transaction_is_noticed(database_url: str) -> None:
    async with proxy_to(database_url) as (proxy, url):
        engine = connect(url, pool_size=1, command_timeout_s=0.3)

        async with asyncio.timeout(PATIENCE_S):
            session = conversations.sessions_of(engine)()
            await session.execute(select(Dialog))
            proxy.silence()

            with pytest.raises(TimeoutError):
                await session.execute(select(Dialog))
            await session.close()

        proxy.resume()
        await engine.dispose()


async def test_connections_to_a_silent_server_are_closed_at_once(database_url: str) -> None:
    async with proxy_to(database_url) as (proxy, url):
        engine = connect(url, pool_size=2, command_timeout_s=60.0)
        async with engine.connect(), engine.connect():
            pass
        proxy.silence()

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3) as limit, engine.connect() as connection:
                await connection.execute(select(Dialog))
        overdue_s = asyncio.get_running_loop().time() - (limit.when() or 0.0)
        async with asyncio.timeout(1.0):
            await engine.dispose()

        assert overdue_s < 1.0, "to close a connection takes 2 s if the server is asked"


@pytest.mark.parametrize("is_wrapped", [False, True])
async def test_a_connection_that_broke_in_an_answer_is_a_database_that_is_away(
    engine: AsyncEngine, *, is_wrapped: bool
) -> None:
    broken = asyncpg.InternalClientError("cannot switch to state 12")
    wrapped = Exception("as SQLAlchemy's driver wraps it")
    wrapped.__cause__ = broken

    async def step(_: AsyncConnection) -> None:
        raise DBAPIError("SELECT 1", None, wrapped) if is_wrapped else broken

    with pytest.raises(Unavailable) as caught:
        await run_in_transaction(engine, step)

    assert caught.value.code == "database_unavailable"


async def test_connections_that_became_read_only_are_thrown_away(database_url: str) -> None:
    engine = connect(database_url, pool_size=3)
    await broken_databases.make_read_only(database_url, is_read_only=True)
    async with engine.connect(), engine.connect(), engine.connect():
        pass  # three connections in the pool, all to the read-only server
    await broken_databases.make_read_only(database_url, is_read_only=False)

    with pytest.raises(Unavailable) as caught:
        await run_in_transaction(engine, count_a_message)
    async with engine.begin() as one, engine.begin() as two, engine.begin() as three:
        for dialog_id, connection in enumerate((one, two, three)):
            await connection.execute(insert(Dialog).values(id=dialog_id))

    assert caught.value.code == "database_unavailable"
    assert "takes no writes" in caught.value.sentence
    assert "read_only_sql_transaction, 25006" in caught.value.sentence
    await engine.dispose()


async def test_a_statement_on_asyncpg_finds_a_connection_that_became_read_only(
    database_url: str,
) -> None:
    engine = connect(database_url, pool_size=1)
    await broken_databases.make_read_only(database_url, is_read_only=True)
    async with engine.connect():
        pass
    await broken_databases.make_read_only(database_url, is_read_only=False)
    add = DirectQuery(insert(Dialog).values(id=bindparam("id")).returning(Dialog.id))

    with pytest.raises(Unavailable) as caught:
        await first(engine, add, {"id": 42})
    row = await first(engine, add, {"id": 42})

    assert "takes no writes" in caught.value.sentence
    assert row is not None
    assert row.id == 42
    await engine.dispose()


async def test_a_connection_whose_statement_was_given_up_is_thrown_away(database_url: str) -> None:
    backend = DirectQuery(text("SELECT pg_backend_pid() AS pid"))
    async with proxy_to(database_url) as (proxy, url):
        engine = connect(url, pool_size=1)
        before = await first(engine, backend, {})
        proxy.silence()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await first(engine, backend, {})
        proxy.resume()

        async with asyncio.timeout(20):
            after = await first(engine, backend, {})

        assert before is not None
        assert after is not None
        assert after.pid != before.pid
        await engine.dispose()


async def test_a_statement_on_asyncpg_runs_again_after_a_lock_was_held_for_too_long(
    database_url: str, sessions: Sessions
) -> None:
    await conversations.put_dialog(sessions)
    engine = connect(f"{database_url}?options=-c%20lock_timeout%3D100", pool_size=1)
    count = DirectQuery(update(Dialog).values(message_count=5).returning(Dialog.id))

    async with sessions.begin() as holder:
        await holder.execute(text("UPDATE dialogs SET message_count = 4"))
        counting = asyncio.create_task(first(engine, count, {}))
        done, _ = await asyncio.wait({counting}, timeout=0.2)
    await counting

    assert not done
    assert (await conversations.dialog(sessions)).message_count == 5
    await engine.dispose()


@pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")
async def test_statements_on_asyncpg_go_through_a_pooler(
    database_url: str, sessions: Sessions
) -> None:
    for dialog_id in range(40):
        await conversations.put_dialog(sessions, dialog_id)
    one: BindParameter[int] = bindparam("one")
    count = update(Dialog).where(Dialog.id == one).values(message_count=5).returning(Dialog.id)

    with PgBouncer(database_url) as pooler:
        engine = connect(f"{pooler.url}?pgbouncer=true", pool_size=8)
        rows = await asyncio.gather(
            *(first(engine, DirectQuery(count), {"one": number}) for number in range(40))
        )
        await engine.dispose()

    assert [row and row.id for row in rows] == [*range(40)]


async def test_values_of_a_statement_on_asyncpg_are_those_of_sqlalchemy(
    engine: AsyncEngine,
) -> None:
    query = DirectQuery(select(bindparam("said", type_=JSONB).label("said")))

    row = await first(engine, query, {"said": {"text": "да"}})

    assert row is not None
    assert row.said == {"text": "да"}


async def count_a_message(connection: AsyncConnection) -> None:
    await connection.execute(insert(Dialog).values(id=42))


@pytest.mark.parametrize(
    ("statement", "code", "name", "costs_an_attempt"),
    [
        ("SELECT 1 FROM of_nobody", "database_not_migrated", "undefined_table, 42P01", False),
        ("SELECT 'x'::int", "database_refused", "invalid_text_representation, 22P02", True),
        ("SELECT 1/0", "database_refused", "division_by_zero, 22012", True),
        ("INSERT INTO dialogs VALUES (NULL)", "database_refused", "not_null_violation", True),
        ("SET ROLE nobody_at_all", "database_refused", "invalid_parameter_value", True),
        ("SELECT nothing()", "database_refused", "undefined_function, 42883", False),
        ("DO $$BEGIN RAISE 'secret words'; END$$", "database_refused", "raise, P0001", False),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "database_unavailable", "is away", False),
    ],
)
@pytest.mark.parametrize("is_on_asyncpg", [False, True], ids=["sqlalchemy", "asyncpg"])
async def test_no_error_of_a_statement_ends_a_request_as_a_fault_of_ours(
    engine: AsyncEngine,
    statement: str,
    code: str,
    name: str,
    *,
    costs_an_attempt: bool,
    is_on_asyncpg: bool,
) -> None:
    async def step(connection: AsyncConnection) -> None:
        await connection.execute(text(statement))

    with pytest.raises(Unavailable) as caught:
        await (
            first(engine, DirectQuery(text(statement)), {})
            if is_on_asyncpg
            else run_in_transaction(engine, step)
        )

    error = caught.value
    assert (error.code, error.costs_an_attempt) == (code, costs_an_attempt)
    assert name in error.sentence
    assert "secret words" not in error.sentence


async def test_a_lock_that_is_held_for_too_long_is_no_fault_of_the_request(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    await conversations.put_dialog(sessions)

    async def step(connection: AsyncConnection) -> None:
        await connection.execute(text("SET LOCAL lock_timeout = '10ms'"))
        await connection.execute(text("UPDATE dialogs SET message_count = 5"))

    async with sessions.begin() as holder:
        await holder.execute(text("UPDATE dialogs SET message_count = 4"))
        with pytest.raises(Unavailable) as caught:
            await run_in_transaction(engine, step)

    assert caught.value.code == "database_unavailable"
    assert "lock_not_available, 55P03" in caught.value.sentence


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"password": "marmalade"}, "look at DATABASE_URL (invalid_password, 28P01)"),
        ({"database": "of_nobody"}, "look at DATABASE_URL (invalid_catalog_name, 3D000)"),
        ({"port": 1}, "it refuses the connection: nothing listens there"),
    ],
    ids=["password", "name", "port"],
)
async def test_what_is_wrong_with_the_address_is_said_without_a_secret(
    database_url: str, wrong: dict[str, Any], words: str
) -> None:
    address = make_url(database_url).set(**wrong)
    engine = connect(address.render_as_string(hide_password=False))

    with pytest.raises(Unavailable) as caught:
        await run_in_transaction(engine, count_a_message)

    assert caught.value.code == "database_unavailable"
    assert words in caught.value.sentence
    assert "marmalade" not in caught.value.sentence
    await engine.dispose()


async def test_a_server_without_a_free_connection_is_named(database_url: str) -> None:
    async with broken_databases.weak_role(database_url, limit=0) as url:
        engine = connect(url)

        with pytest.raises(Unavailable) as caught:
            await run_in_transaction(engine, count_a_message)

        assert "max_connections" in caught.value.sentence
        assert "too_many_connections, 53300" in caught.value.sentence
        await engine.dispose()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_a_text_that_the_encoding_cannot_store_is_the_databases_fault(
    database_url: str, encoding: str
) -> None:
    async with broken_databases.database_of_encoding(database_url, encoding) as url:
        engine = connect(url)

        with pytest.raises(DatabaseRefused) as caught:
            await run_in_transaction(engine, store_cyrillic)

        assert f"is {encoding}" in caught.value.sentence
        assert not caught.value.costs_an_attempt
        await engine.dispose()


async def store_cyrillic(connection: AsyncConnection) -> None:
    await connection.execute(select(cast({"text": "да"}, JSONB)))
