"""Which host the contract is held against, and a visitor of it."""

import os
from collections.abc import AsyncIterator

import pytest

from imagegen.comfy.address import HostAddress
from imagegen.sandbox.comfyui.host import SandboxComfyUI
from imagegen.sandbox.comfyui.versions import VERSIONS
from tests.contract.client import Visitor, visit
from tests.contract.host import Host, named
from tests.contract.timing import Pace
from tests.contract.websocket_listener import Ear

_WAITS_PER_TEST = 10


def pytest_configure() -> None:
    """Refuse a wrong variable before any test is collected."""
    _real_host()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on both sandboxes, or on the real server alone."""
    if "host" in metafunc.fixturenames:
        real = _real_host()
        wanted = list(VERSIONS) if real is None else [real]
        names = [
            f"sandbox-{each}" if isinstance(each, str) else each.address.name for each in wanted
        ]
        metafunc.parametrize("host", wanted, indirect=True, ids=names)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give a real server the time that its other users take."""
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
async def visitor(host: Host) -> AsyncIterator[Visitor]:
    async with visit(host) as visitor:
        yield visitor


@pytest.fixture
async def ear(visitor: Visitor) -> AsyncIterator[Ear]:
    """Give the visitor's socket, greeted."""
    async with visitor.listen() as ear:
        await ear.hear("status")
        yield ear


@pytest.fixture(scope="session")
def pace() -> Pace:
    return Pace()


def _real_host() -> Host | None:
    try:
        return named(os.environ)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
