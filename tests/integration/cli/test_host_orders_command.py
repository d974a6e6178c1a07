"""`imagegen hosts add|drain|resume|remove`, and what `imagegen hosts` then shows."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from chatflow_hook.tables import State
from imagegen.comfy.address import HostAddress
from imagegen.pool.host_orders import HostOrders
from imagegen.sandbox.comfyui import SandboxComfyUI
from tests.support import command, conversations, schema_dump
from tests.support.aged_rows import AgedData
from tests.support.command import CommandResult
from tests.support.conversations import Sessions
from tests.support.patience import PATIENCE_S
from tests.support.product import ProductFactory, required_models

A, B = "127.0.0.1:1", "127.0.0.1:2"


@pytest.fixture
def orders(engine: AsyncEngine) -> HostOrders:
    return HostOrders(engine)


class HostsCommand:
    """Runs `imagegen hosts` with the settings of this test."""

    def __init__(self, database_url: str) -> None:
        self.variables = {"DATABASE_URL": database_url, "COMFYUI_HOSTS": A}

    async def __call__(self, *arguments: str, **changes: str) -> CommandResult:
        return await command.run("hosts", *arguments, **self.variables | changes)


@pytest.fixture
def hosts(database_url: str) -> HostsCommand:
    return HostsCommand(database_url)


async def test_each_order_is_written_and_told(hosts: HostsCommand, orders: HostOrders) -> None:
    added = await hosts("add", B, "https://gpu.example/comfy", "--note", "for the weekend")
    drained = await hosts("drain", A, B)
    resumed = await hosts("resume", A, "--json")
    removed = await hosts("remove", B, "--now")

    assert added.stdout == f"{B}: active\ngpu.example:443/comfy: active\n"
    assert drained.stdout == f"{A}: draining\n{B}: draining\n"
    assert resumed.json == [{"host": A, "use": "active", "why": None}]
    assert removed.stdout == f"{B}: removed\n"
    assert {result.code for result in (added, drained, resumed, removed)} == {0}
    given = await orders.read()
    assert {name: (order.use, order.gives_up) for name, order in given.items()} == {
        A: ("active", False),
        B: ("removed", True),
        "gpu.example:443/comfy": ("active", False),
    }
    assert given["gpu.example:443/comfy"].note == "for the weekend"


async def test_an_unknown_host_and_a_removed_one_are_refused_with_what_to_do(
    hosts: HostsCommand, orders: HostOrders
) -> None:
    await orders.remove(A, gives_up=False)

    unknown = await hosts("drain", "gpu-9", "no host")
    removed = await hosts("resume", A)

    assert (unknown.code, removed.code) == (1, 1)
    assert "gpu-9:8188: no, no setting knows it, and the workers cannot be asked" in unknown.stdout
    assert f": there are {A}\n" in unknown.stdout
    assert "no host: no, 'no host' is no host:port" in unknown.stdout
    assert f"it was removed: `imagegen hosts add {A}`" in removed.stdout
    assert "gpu-9:8188" not in await orders.read()


async def test_a_host_of_the_workers_is_known_without_their_settings(
    products: ProductFactory, database_url: str, redis_url: str, orders: HostOrders
) -> None:
    place = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    async with products.start() as product:
        host = product.settings.comfyui_hosts[0].name
        async with asyncio.timeout(PATIENCE_S):
            while (drained := await command.run("hosts", "drain", host, **place)).code:
                assert "no worker and no setting knows it" in drained.stdout
                await asyncio.sleep(0.05)
        unknown = await command.run("hosts", "drain", "gpu-9", **place)

    assert drained.stdout == f"{host}: draining\n"
    assert (await orders.read())[host].use == "draining"
    assert unknown.stdout.startswith("gpu-9:8188: no, no worker and no setting knows it: ")


async def test_a_wrong_address_is_refused_before_anything_is_written(
    hosts: HostsCommand, orders: HostOrders
) -> None:
    result = await hosts("add", B, "ftp://gpu-1")

    assert result.code == 2
    assert "ftp://gpu-1" in result.stderr
    assert await orders.read() == {}


async def test_without_a_migrated_database_it_is_said_what_to_do(
    hosts: HostsCommand, database_url: str
) -> None:
    await schema_dump.execute(database_url, "DROP TABLE comfyui_hosts")

    result = await hosts("add", B)
    listed = await hosts("--timeout", "1")

    assert result.code == 2
    assert "comfyui_hosts" in result.stderr or "migrate" in result.stderr
    assert "the hosts that were added or drained are not shown" in listed.stderr


async def test_drain_waits_until_no_request_has_a_prompt_there(
    hosts: HostsCommand, engine: AsyncEngine, sessions: Sessions, tmp_path: Path
) -> None:
    await conversations.put_dialog(sessions)
    data = AgedData(engine, tmp_path)
    await data.row(State.DRAWING, host=A, prompt_id=uuid4(), draw=1)

    waiting = asyncio.create_task(hosts("drain", A, "--wait"), name="drain")
    async with asyncio.timeout(PATIENCE_S):
        while (await HostOrders(engine).read()).get(A) is None:  # noqa: ASYNC110 (rows)
            await asyncio.sleep(0.05)
    assert not waiting.done()
    await schema_dump.execute(str(hosts.variables["DATABASE_URL"]), "DELETE FROM image_requests")

    assert (await waiting).code == 0


async def test_the_table_shows_added_and_drained_hosts_and_names_removed_ones(
    hosts: HostsCommand, orders: HostOrders
) -> None:
    models = required_models()
    async with SandboxComfyUI(models=models) as one, SandboxComfyUI(models=models) as two:
        await orders.add(HostAddress.parse(one.address))
        await orders.add(HostAddress.parse(two.address))
        await orders.drain(two.address, note="new driver")
        await orders.remove(A, gives_up=False)

        rows = (await hosts("--json")).json
        text = await hosts()

    assert {row["host"]: (row["state"], row["use"], row["note"]) for row in rows} == {
        one.address: ("up", "active", None),
        two.address: ("up", "draining", "new driver"),
    }
    assert text.code == 0
    assert f"{two.address} is draining: new driver" in text.stdout
    assert f"{A} is in COMFYUI_HOSTS and was removed" in text.stdout


async def test_a_drained_host_that_is_down_is_no_fault(
    hosts: HostsCommand, orders: HostOrders
) -> None:
    async with SandboxComfyUI(models=required_models()) as one:
        await orders.add(HostAddress.parse(one.address))
        await orders.drain(A)

        result = await hosts()

    assert result.code == 0
