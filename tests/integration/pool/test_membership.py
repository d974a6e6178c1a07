"""Which hosts a pool has: settings, a real DNS server, and orders in a real database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from chatflow_hook.tables import State
from imagegen.comfy.address import DnsName, HostAddress
from imagegen.comfy.client import HostClient
from imagegen.db.engine import connect
from imagegen.db.tables import ComfyuiHost, HostUse, StrayPrompt
from imagegen.pool.host_orders import HostOrders
from imagegen.pool.membership import PoolMembership
from imagegen.pool.pool import Pool
from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support import conversations
from tests.support.aged_rows import AgedData
from tests.support.conversations import Sessions
from tests.support.dns_server import DnsServer, dns_server
from tests.support.pool_callers import SlotCaller, needs, run_ready_tasks
from tests.support.prompt_execution import LIMITS

NAME = "comfyui.svc"


@asynccontextmanager
async def membership_of(
    engine: AsyncEngine,
    *addresses: str,
    dns: tuple[DnsServer, int] | None = None,
) -> AsyncIterator[PoolMembership]:
    """Run a pool whose hosts are these, those of a DNS name, and those of the orders."""
    pool = Pool([])
    async with (
        PoolMembership(
            pool,
            addresses=[HostAddress.parse(address) for address in addresses],
            dns_names=[] if dns is None else [DnsName(host=NAME, port=dns[1])],
            orders=HostOrders(engine),
            open_host=partial(HostClient, limits=LIMITS),
            resolver=None if dns is None else dns[0].resolver(),
        ) as membership,
        pool.running(),
    ):
        yield membership


@asynccontextmanager
async def hosts_on_one_port(*ips: str) -> AsyncIterator[tuple[Sequence[SandboxComfyUI], int]]:
    """Run hosts on several loopback addresses, as the records of one name."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(SandboxComfyUI(host=ips[0]))
        port = int(first.address.rpartition(":")[2])
        others = [
            await stack.enter_async_context(SandboxComfyUI(host=ip, port=port)) for ip in ips[1:]
        ]
        yield [first, *others], port


@pytest.fixture
async def aged_data(engine: AsyncEngine, sessions: Sessions, tmp_path: Path) -> AgedData:
    await conversations.put_dialog(sessions)
    return AgedData(engine, tmp_path)


def uses(membership: PoolMembership) -> dict[str, HostUse]:
    return {status.name: status.use for status in membership.pool.status()}


async def test_hosts_of_the_settings_are_there_after_the_first_step(engine: AsyncEngine) -> None:
    async with (
        SandboxComfyUI() as one,
        SandboxComfyUI() as two,
        membership_of(engine, one.address, two.address) as membership,
    ):
        await membership.step()

        assert uses(membership) == dict.fromkeys((one.address, two.address), HostUse.ACTIVE)


async def test_an_added_host_joins_and_is_checked_before_its_first_prompt(
    engine: AsyncEngine,
) -> None:
    orders = HostOrders(engine)
    async with (
        SandboxComfyUI() as one,
        SandboxComfyUI() as two,
        membership_of(engine, one.address) as membership,
    ):
        await membership.step()
        await orders.add(HostAddress.parse(two.address), note="rented for the weekend")
        await membership.step()

        statuses = membership.pool.status()

    assert [(each.name, each.has_capabilities) for each in statuses] == [
        (one.address, True),
        (two.address, True),
    ]


async def test_a_host_whose_order_has_gone_leaves_although_nobody_gives_an_order(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    async with (
        SandboxComfyUI() as one,
        SandboxComfyUI() as two,
        membership_of(engine, one.address) as membership,
    ):
        await HostOrders(engine).add(HostAddress.parse(two.address))
        assert await membership.step()
        async with sessions.begin() as session:
            await session.execute(delete(ComfyuiHost))

        while await membership.step():
            pass

        assert list(uses(membership)) == [one.address]


async def test_a_drained_host_ends_what_it_has_and_is_used_again_when_resumed(
    engine: AsyncEngine,
) -> None:
    orders = HostOrders(engine)
    async with SandboxComfyUI() as one, membership_of(engine, one.address) as membership:
        await membership.step()
        first = SlotCaller(membership.pool).start()
        await first.lent.wait()
        await orders.drain(one.address)
        await membership.step()
        second = SlotCaller(membership.pool).start()
        await run_ready_tasks()
        assert uses(membership) == {one.address: HostUse.DRAINING}
        assert (first.task.done(), second.host) == (False, None)

        await orders.resume(one.address)
        await membership.step()
        await second.lent.wait()

        await first.end()
        await second.end()


async def test_a_removed_host_goes_when_nothing_needs_it_any_more(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    orders = HostOrders(engine)
    async with (
        SandboxComfyUI() as one,
        SandboxComfyUI() as two,
        membership_of(engine, one.address, two.address) as membership,
    ):
        await membership.step()
        job = SlotCaller(membership.pool, left_on=one.address).start()
        await job.lent.wait()
        async with sessions.begin() as session:
            await session.execute(insert(StrayPrompt).values(prompt_id=uuid4(), host=one.address))
        await orders.remove(one.address, gives_up=False)

        await _steps(membership)
        assert uses(membership)[one.address] is HostUse.REMOVED, "its prompt still runs"
        await job.end()
        await _steps(membership)
        assert one.address in uses(membership), "a stray is still to be taken off it"
        async with sessions.begin() as session:
            await session.execute(delete(StrayPrompt))
        await _steps(membership)

        assert list(uses(membership)) == [two.address]
        assert not _tasks_of(one.address)


async def test_a_host_with_an_open_request_of_another_worker_stays_until_it_has_ended(
    engine: AsyncEngine, sessions: Sessions, aged_data: AgedData
) -> None:
    orders = HostOrders(engine)
    async with SandboxComfyUI() as one, membership_of(engine, one.address) as membership:
        await aged_data.row(
            State.DRAWING, host=one.address, prompt_id=uuid4(), draw=1, claim=uuid4()
        )
        await membership.step()
        await orders.remove(one.address, gives_up=False)

        await _steps(membership)
        assert uses(membership) == {one.address: HostUse.REMOVED}
        await _execute(sessions, "UPDATE image_requests SET state = 'cancelled'")
        await _steps(membership)

        assert uses(membership) == {}


async def test_a_removed_host_that_is_dead_goes_at_once(
    engine: AsyncEngine, aged_data: AgedData
) -> None:
    orders = HostOrders(engine)
    async with SandboxComfyUI() as one:
        await aged_data.row(
            State.DRAWING, host=one.address, prompt_id=uuid4(), draw=1, claim=uuid4()
        )
        await one.kill()
        async with membership_of(engine, one.address) as membership:
            await membership.step()
            await orders.remove(one.address, gives_up=False)

            await _steps(membership)

            assert uses(membership) == {}


async def test_a_host_that_was_removed_comes_back_when_it_is_added(engine: AsyncEngine) -> None:
    orders = HostOrders(engine)
    async with SandboxComfyUI() as one, membership_of(engine, one.address) as membership:
        await orders.remove(one.address, gives_up=True)
        await _steps(membership)
        assert uses(membership) == {}
        await orders.resume(one.address)
        await orders.drain(one.address)
        await membership.step()
        assert uses(membership) == {}, "only `add` brings a removed host back"

        await orders.add(HostAddress.parse(one.address))
        await membership.step()

        assert uses(membership) == {one.address: HostUse.ACTIVE}


async def test_nothing_changes_while_the_orders_cannot_be_read(
    engine: AsyncEngine, database_url: str
) -> None:
    other = connect(database_url)
    async with SandboxComfyUI() as one, SandboxComfyUI() as two:
        await HostOrders(engine).add(HostAddress.parse(two.address))
        await HostOrders(engine).drain(one.address)
        async with membership_of(other, one.address) as membership:
            await membership.step()
            before = uses(membership)
            async with engine.begin() as connection:
                await connection.exec_driver_sql("ALTER TABLE comfyui_hosts RENAME TO away")
            with capture_logs() as log:
                await membership.step()

            assert uses(membership) == before
    await other.dispose()
    assert before == {one.address: HostUse.DRAINING, two.address: HostUse.ACTIVE}
    assert [line["event"] for line in log] == ["orders for hosts not read"]


async def test_hosts_follow_the_records_of_a_dns_name(engine: AsyncEngine) -> None:
    ips = ("127.0.0.1", "127.0.0.2")
    async with hosts_on_one_port(*ips) as (_, port), dns_server(comfyui_svc=ips[:1]) as server:
        one, two = (f"{ip}:{port}" for ip in ips)
        async with membership_of(engine, dns=(server, port)) as membership:
            await membership.step()
            assert list(uses(membership)) == [one]

            server.records[NAME] = ips
            await membership.step()
            assert sorted(uses(membership)) == [one, two]

            job = SlotCaller(membership.pool, left_on=one).start()
            await job.lent.wait()
            server.records[NAME] = ips[1:]
            await _steps(membership)
            assert uses(membership) == {one: HostUse.REMOVED, two: HostUse.ACTIVE}
            await job.end()
            await _steps(membership)
            assert list(uses(membership)) == [two]


async def test_a_name_server_that_fails_removes_nothing_and_an_empty_answer_does(
    engine: AsyncEngine,
) -> None:
    ips = ["127.0.0.1"]
    async with (
        hosts_on_one_port(*ips) as ([host], port),
        dns_server(comfyui_svc=ips) as server,
        membership_of(engine, dns=(server, port)) as membership,
    ):
        await membership.step()
        server.fails = True
        with capture_logs() as log:
            await _steps(membership)
        assert uses(membership) == {host.address: HostUse.ACTIVE}
        server.fails = False
        server.records.clear()

        await _steps(membership)

        assert uses(membership) == {}
    assert {line["event"] for line in log} == {"hosts of a dns name not read"}


async def test_an_operator_drains_a_host_that_dns_names(engine: AsyncEngine) -> None:
    ips = ["127.0.0.1"]
    async with hosts_on_one_port(*ips) as ([host], port), dns_server(comfyui_svc=ips) as server:
        await HostOrders(engine).drain(host.address)
        async with membership_of(engine, dns=(server, port)) as membership:
            await membership.step()

            assert uses(membership) == {host.address: HostUse.DRAINING}


async def test_fifty_hosts_that_came_and_went_leave_no_task_and_no_connection(
    engine: AsyncEngine,
) -> None:
    orders = HostOrders(engine)
    async with (
        SandboxComfyUI() as one,
        SandboxComfyUI() as two,
        membership_of(engine, one.address) as membership,
    ):
        await membership.step()
        async with membership.pool.lease(needs("ash")):
            pass
        tasks_before = len(asyncio.all_tasks())
        for _ in range(50):
            await orders.add(HostAddress.parse(two.address))
            await membership.step()
            assert two.address in uses(membership)
            await orders.remove(two.address, gives_up=True)
            await _steps(membership)
            assert two.address not in uses(membership)

        assert len(asyncio.all_tasks()) == tasks_before


async def _steps(membership: PoolMembership) -> None:
    """A host has to be found unneeded twice before it goes."""
    for _ in range(3):
        await membership.step()


def _tasks_of(host: str) -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if host in task.get_name()]


async def _execute(sessions: Sessions, statement: str) -> None:
    async with sessions.begin() as session:
        await (await session.connection()).exec_driver_sql(statement)
