"""The host that the contract is tested against, and a client of it."""

import os
from collections.abc import AsyncIterator

import pytest

from imagegen.comfy.address import HostAddress
from imagegen.sandbox.comfyui.host import SandboxComfyUI
from imagegen.sandbox.comfyui.versions import VERSIONS
from tests.contract.client import ContractClient, connected_client
from tests.contract.host import Host, host_from_environment
from tests.contract.timing import SlowGraphs
from tests.contract.websocket_listener import EventListener

_WAITS_PER_TEST = 10


def pytest_configure() -> None:
    """Refuse an invalid variable before any test is collected."""
    _real_host()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on both sandbox versions, or on the real server alone."""
    if "host" in metafunc.fixturenames:
        real = _real_host()
        hosts_to_test = list(VERSIONS) if real is None else [real]
        names = [
            f"sandbox-{each}" if isinstance(each, str) else each.address.name
            for each in hosts_to_test
        ]
        metafunc.parametrize("host", hosts_to_test, indirect=True, ids=names)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give tests on a real server a longer timeout, for the prompts of its other users."""
    if (real := _real_host()) is not None:
        item.add_marker(pytest.mark.timeout(_WAITS_PER_TEST * real.patience_s))


@pytest.fixture
async def host(request: pytest.FixtureRequest) -> AsyncIterator[Host]:
    if isinstance(request.param, Host):
        yield request.param
        return
    async with SandboxComfyUI(version=request.param) as sandbox:
        yield Host(address=HostAddress.parse(sandbox.address))


@pytest.fixture
async def contract_client(host: Host) -> AsyncIterator[ContractClient]:
    async with connected_client(host) as contract_client:
        yield contract_client


@pytest.fixture
async def listener(contract_client: ContractClient) -> AsyncIterator[EventListener]:
    """Return a websocket of the client that got its first status."""
    async with contract_client.listen() as listener:
        await listener.wait_for("status")
        yield listener


@pytest.fixture(scope="session")
def slow_graphs() -> SlowGraphs:
    return SlowGraphs()


def _real_host() -> Host | None:
    try:
        return host_from_environment(os.environ)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
