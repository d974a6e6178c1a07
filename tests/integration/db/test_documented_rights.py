"""A worker and a bot need no more rights than docs/database.md lists for them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import insert, make_url, select
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from chatflow_hook import Button, ChatFlowHook, Request, RequestEnd, user_erasure
from chatflow_hook.tables import Dialog, State
from imagegen.db import migrations
from imagegen.db.database_check import DatabaseCheck
from imagegen.db.engine import connect, run_in_transaction
from imagegen.db.tables import Delivery
from imagegen.maintenance.retention_parts import RetentionCounts
from imagegen.requests.covers import Covers
from tests.support import broken_databases, conversations, documented_rights, schema_dump
from tests.support.aged_rows import SAID, AgedData
from tests.support.conversations import Sessions, turn
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory

_BOTS_SCHEMA = (Path(__file__).parents[2] / "support" / "foreign_schema.sql").read_text("utf-8")
OF_A_WORKER = documented_rights.grants("worker")
OF_A_BOT = documented_rights.grants("bot")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncEngine]:
    engine = connect(url)
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def hook_of(url: str, redis_url: str) -> AsyncIterator[ChatFlowHook]:
    settings = conversations.hook_settings(url, redis_url)
    async with ChatFlowHook(settings, turn_timeout_s=PATIENCE_S) as hook:
        yield hook


async def test_the_worker_finds_that_the_listed_rights_are_enough(database_url: str) -> None:
    async with (
        broken_databases.weak_role(database_url, *OF_A_WORKER) as url,
        connected(url) as engine,
    ):
        assert await DatabaseCheck(engine).lacks() is None


@pytest.mark.parametrize("right", ["DELETE ON dialogs", "DELETE ON forgotten_messages"])
async def test_the_worker_says_that_one_of_them_is_missing(database_url: str, right: str) -> None:
    grants = [grant for grant in OF_A_WORKER if grant != right]
    async with (
        broken_databases.weak_role(database_url, *grants) as url,
        connected(url) as engine,
    ):
        lack = await DatabaseCheck(engine).lacks()

    role = make_url(url).username
    assert lack == f"the database user lacks rights: GRANT {right} TO {role}"


async def test_beside_a_bots_own_dialogs_the_worker_needs_no_right_to_delete_them(
    empty_database_url: str,
) -> None:
    await schema_dump.execute(empty_database_url, _BOTS_SCHEMA)
    await asyncio.to_thread(migrations.upgrade, empty_database_url)
    grants = documented_rights.grants("worker", owns_dialogs=False)
    assert "DELETE ON dialogs" not in grants

    async with (
        broken_databases.weak_role(empty_database_url, *grants) as url,
        connected(url) as engine,
    ):
        assert await DatabaseCheck(engine).lacks() is None


async def test_a_worker_with_the_listed_rights_erases_all_that_is_due(
    database_url: str, sessions: Sessions, engine: AsyncEngine, tmp_path: Path
) -> None:
    owner = AgedData(engine, tmp_path)
    await conversations.put_dialog(sessions)
    old = await owner.row(State.DELIVERED, days=91, image=await owner.picture(b"old"))
    async with sessions.begin() as session:
        await session.execute(insert(Delivery).values(request_id=old, attempt=1))
    await owner.row(State.DELIVERED, days=31, dialog_id=2, image=await owner.picture(b"young"))
    await owner.row(State.FAILED, days=2, dialog_id=2, conversation=SAID)
    await conversations.put_dialog(sessions, 2)
    await owner.row(State.QUEUED, dialog_id=77)
    await owner.note(days=91)

    async with (
        broken_databases.weak_role(database_url, *OF_A_WORKER) as url,
        connected(url) as weak,
    ):
        counts = await AgedData(weak, tmp_path).retention().erase_all_due()
        erasure = await run_in_transaction(weak, lambda step: user_erasure.erase(step, 1001))

    assert counts == RetentionCounts(
        contexts=1, cancelled=1, requests=2, emptied=1, pictures=2, notes=1
    )
    assert (erasure.forgotten.requests, erasure.forgotten.dialogs) == (2, 1)


async def test_old_requests_go_even_where_their_dialogs_cannot(
    database_url: str, sessions: Sessions, engine: AsyncEngine, tmp_path: Path
) -> None:
    owner = AgedData(engine, tmp_path)
    await conversations.put_dialog(sessions)
    await owner.row(State.DELIVERED, days=91)
    grants = [grant for grant in OF_A_WORKER if grant != "DELETE ON dialogs"]

    async with (
        broken_databases.weak_role(database_url, *grants) as url,
        connected(url) as weak,
    ):
        retention = AgedData(weak, tmp_path).retention()
        with capture_logs() as log:
            await retention.step()
        assert await owner.ids() == set()
        await schema_dump.execute(database_url, f"GRANT DELETE ON dialogs TO {weak.url.username}")
        await retention.step()

    assert [line["parts"] for line in log if line["event"] == "retention waits"] == [["dialogs"]]
    async with sessions() as session:
        assert (await session.execute(select(Dialog.id))).all() == []


async def test_a_worker_with_the_listed_rights_draws_delivers_and_orders_covers(
    products: ProductFactory, database_url: str
) -> None:
    async with (
        broken_databases.weak_role(database_url, *OF_A_WORKER) as url,
        connected(url) as weak,
        products.start(database_url=url) as product,
    ):
        picture = await product.picture()
        covers = await Covers(weak).order(["lina"], 2)
        erased = await Covers(weak).erase(["lina"])

    assert picture.state is State.DELIVERED
    assert (len(covers), erased) == (2, 2)


async def test_a_bot_with_the_listed_rights_can_do_all_that_the_hook_does(
    database_url: str, redis_url: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    owner = AgedData(engine, tmp_path)
    async with (
        broken_databases.weak_role(database_url, *OF_A_BOT) as url,
        hook_of(url, redis_url) as hook,
    ):
        request = [await hook.on_turn(turn()) for _ in range(3)][-1]
        assert request is not None
        waited = await hook.wait(request, timeout=0.1)
        is_cancelled = await hook.cancel(request)
        await schema_dump.execute(database_url, "INSERT INTO end_listening VALUES (1, 'epoch')")
        told: asyncio.Queue[RequestEnd] = asyncio.Queue()
        listens = asyncio.create_task(hook.on_end(told.put))
        end = await asyncio.wait_for(told.get(), PATIENCE_S)
        listens.cancel()
        asked = await hook.ask(turn(text="пришли фото"))
        delivered = await owner.row(
            State.DELIVERED,
            image=await owner.picture(),
            scene={"source": "template"},
            telegram_message_id=5,
        )
        varied = await hook.vary(delivered)
        pressed = [
            await hook.on_button(button.data(delivered), user_id=1001, chat_id=1001)
            for button in (Button.FILE, Button.HIDE)
        ]
        await hook.on_dialog_start(turn(dialog_id=2))
        await hook.confirm_age(1001)
        is_confirmed = await hook.has_confirmed_age(1001)
        await hook.revoke_age(1001)
        first = await hook.forget_user(1001)
        await owner.row(State.DELIVERED, image=await owner.picture())
        second = await hook.forget_user(1001)

    assert waited.state is State.QUEUED
    assert (is_cancelled, is_confirmed) == (True, True)
    assert (end.request, end.picture.state) == (request, State.CANCELLED)
    assert isinstance(asked, Request)
    assert isinstance(varied, Request)
    assert [answer and answer.show_alert for answer in pressed] == [False, False]
    assert (first.requests, first.dialogs, first.pictures, second.pictures) == (5, 1, 1, 1)
