"""What tests of drawing share: a client of a host, its limits, a prompt's id."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from imagegen.comfy.address import HostAddress
from imagegen.comfy.client import HostClient
from imagegen.comfy.patience import Limits

MS = 0.001
# No test waits for one of these; tests of a limit make it short.
LIMITS = Limits(request=10, queue=10, drawing=10, silence=10)
PROMPT = "7f3a2c1e-5b0d-5c7e-9d58-0b1e64a7c0de"


@asynccontextmanager
async def client(
    address: str, limits: Limits = LIMITS, headers: Mapping[str, str] | None = None
) -> AsyncIterator[HostClient]:
    """Connect the worker's client to a host."""
    async with HostClient(HostAddress.parse(address), limits=limits, headers=headers) as host:
        yield host


def unheeded(_share: float) -> None:
    """Take progress in and do nothing with it."""
