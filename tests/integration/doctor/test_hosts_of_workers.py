"""The doctor asks the hosts that the workers use: also those of orders and DNS, and no others."""

import socket
from collections.abc import Iterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from imagegen.comfy.address import HostAddress
from imagegen.doctor import clocks
from imagegen.doctor.finding import Level
from imagegen.pool.host_orders import HostOrders
from imagegen.sandbox.comfyui import SandboxComfyUI
from imagegen.sandbox.comfyui.state import HostFlags
from tests.support import doctor
from tests.support.dns_server import dns_server
from tests.support.product import required_models

NOWHERE = "127.0.0.1:1"
# Long for a test, and short beside the limits of a connection's own.
TIMEOUT_S = 1.5


@pytest.fixture
def orders(engine: AsyncEngine) -> HostOrders:
    return HostOrders(engine)


@pytest.fixture
def frozen_port() -> Iterator[int]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def _host() -> SandboxComfyUI:
    return SandboxComfyUI(models=required_models(), flags=HostFlags(disable_metadata=True))


async def test_a_host_that_was_added_is_asked(database_url: str, orders: HostOrders) -> None:
    async with _host() as named, _host() as added:
        await orders.add(HostAddress.parse(added.address))
        check = doctor.hosts_check(doctor.host_settings(named.address), database_url=database_url)
        findings = await doctor.found(check)

    assert {each.level for each in findings} == {Level.GREEN}
    assert findings[0].sentence.startswith(f"{named.address} answers")
    assert findings[1].sentence.startswith(f"{added.address} answers")


async def test_an_added_host_that_is_down_is_told_with_the_command_that_removes_it(
    database_url: str, orders: HostOrders
) -> None:
    async with _host() as named:
        await orders.add(HostAddress.parse(NOWHERE))
        check = doctor.hosts_check(doctor.host_settings(named.address), database_url=database_url)
        finding = await doctor.trouble(check)

    assert finding.level is Level.YELLOW
    assert f"imagegen hosts remove {NOWHERE}" in (finding.advice or "")


async def test_a_removed_host_is_no_subject_and_a_drained_one_is_said_to_be_one(
    database_url: str, orders: HostOrders
) -> None:
    async with _host() as named, _host() as drained:
        await orders.remove(NOWHERE, gives_up=False)
        await orders.drain(drained.address, note="new driver")
        settings = doctor.host_settings(named.address, NOWHERE, drained.address)
        check = doctor.hosts_check(settings, database_url=database_url)
        findings = await doctor.found(check)

    assert {each.level for each in findings} == {Level.GREEN}
    told = "\n".join(each.sentence for each in findings)
    assert f"{NOWHERE} " not in told
    assert f"{drained.address} is drained (new driver): nothing new is drawn there" in told


async def test_that_all_hosts_are_drained_is_red(database_url: str, orders: HostOrders) -> None:
    async with _host() as named:
        await orders.drain(named.address)
        check = doctor.hosts_check(doctor.host_settings(named.address), database_url=database_url)
        finding = await doctor.trouble(check)

    assert finding.level is Level.RED
    assert finding.sentence == "no host is in use"


async def test_the_hosts_of_a_dns_name_are_asked() -> None:
    async with _host() as host, dns_server(gpus_example=["127.0.0.1"]) as dns:
        port = host.address.partition(":")[2]
        settings = doctor.host_settings(f"dns://gpus.example:{port}")
        findings = await doctor.found(doctor.hosts_check(settings, resolver=dns.resolver()))

    assert findings[0].sentence.startswith(f"{host.address} answers")


@pytest.mark.parametrize(
    ("fails", "sentence"),
    [(True, "the hosts of dns://gone.example:8188 are not known: "), (False, "has no record")],
)
async def test_a_dns_name_that_does_not_resolve_is_told(*, fails: bool, sentence: str) -> None:
    async with _host() as host, dns_server() as dns:
        dns.fails = fails
        settings = doctor.host_settings(host.address, "dns://gone.example")
        finding = await doctor.trouble(doctor.hosts_check(settings, resolver=dns.resolver()))

    assert finding.level is Level.YELLOW
    assert sentence in finding.sentence


async def test_a_database_and_a_redis_that_hang_take_nothing_of_the_hosts_time(
    frozen_port: int,
) -> None:
    async with _host() as host:
        check = doctor.hosts_check(
            doctor.host_settings(host.address),
            database_url=f"postgresql://bot:hush@127.0.0.1:{frozen_port}/chat",
            redis_url=f"redis://127.0.0.1:{frozen_port}",
            timeout_s=TIMEOUT_S,
        )
        findings = await doctor.found(check, limit_s=TIMEOUT_S)

    assert f"{host.address} answers" in findings[1].sentence
    assert findings[0].level is Level.YELLOW
    assert "which hosts were added, drained or removed is not known" in findings[0].sentence


async def test_the_clock_of_an_added_host_is_read_and_that_of_a_removed_one_is_not(
    database_url: str, orders: HostOrders
) -> None:
    async with _host() as added, _host() as removed:
        await orders.add(HostAddress.parse(added.address))
        await orders.remove(removed.address, gives_up=False)
        settings = doctor.host_settings(removed.address)
        findings = [
            finding
            async for finding in clocks.check(
                database=None,
                redis=None,
                fleet=settings,
                known_hosts=doctor.known_hosts(settings, database_url),
                timeout_s=doctor.TIMEOUT_S,
            )
        ]

    assert [each.sentence for each in findings] == [f"this machine agrees with {added.address}"]
