"""Restarts of a sandbox host that come faster than it starts, or while it is ended."""

import asyncio
from collections.abc import Awaitable, Callable

from imagegen.sandbox.comfyui import Fault, FaultKind
from imagegen.sandbox.comfyui.faults.host_faults import HostFaults
from imagegen.sandbox.comfyui.faults.script import FaultScript
from tests.support.patience import PATIENCE_S

MS = 0.001
START_S = 50 * MS


def restarting(times: int) -> tuple[Fault, FaultScript]:
    fault = Fault(kind=FaultKind.RESTART, every=10 * MS, seconds=0.0, times=times)
    script = FaultScript(seed=1)
    script.add([fault])
    return fault, script


def faults_of(
    script: FaultScript,
    *,
    stop: Callable[[], Awaitable[None]],
    start: Callable[[], Awaitable[None]],
) -> HostFaults:
    def nothing() -> None:
        return

    return HostFaults(script, stop=stop, start=start, freeze=nothing, thaw=nothing)


async def test_a_host_that_starts_slowly_does_not_die_before_it_is_up() -> None:
    fault, script = restarting(3)
    steps: list[str] = []
    third_start = asyncio.Event()

    async def stop() -> None:
        steps.append("stops")

    async def start() -> None:
        steps.append("starts")
        await asyncio.sleep(START_S)
        steps.append("is up")
        if steps.count("is up") == 3:
            third_start.set()

    faults = faults_of(script, stop=stop, start=start)
    faults.begin()
    async with asyncio.timeout(PATIENCE_S):
        await third_start.wait()
    await faults.end()

    assert steps == ["stops", "starts", "is up"] * 3
    assert [event.fault for event in script.troubles] == [fault] * 3


async def test_a_host_that_is_ended_while_it_starts_does_not_die_again() -> None:
    fault, script = restarting(1_000)
    is_starting = asyncio.Event()

    async def stop() -> None:
        return

    async def start() -> None:
        is_starting.set()
        await asyncio.sleep(START_S)

    faults = faults_of(script, stop=stop, start=start)
    faults.begin()
    async with asyncio.timeout(PATIENCE_S):
        await is_starting.wait()
        await faults.end()

    assert [event.fault for event in script.troubles] == [fault]
