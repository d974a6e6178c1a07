"""Asks all hosts at once for their version, memory, queue and capabilities; for people to read."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagegen.comfy.address import HostAddress
from imagegen.comfy.capabilities import HostCapabilities
from imagegen.comfy.errors import HostLost
from imagegen.comfy.http import HostHTTP


@dataclass(frozen=True, kw_only=True)
class GpuDevice:
    """A graphics card, or the CPU of a host without one; memory in bytes."""

    name: str
    memory: int
    memory_free: int


@dataclass(frozen=True, kw_only=True)
class HostResources:
    """The devices of a host, and how many prompts are on it: the running one and others' included."""

    devices: tuple[GpuDevice, ...]
    queue: int


@dataclass(frozen=True, kw_only=True)
class HostReport:
    """What one host says of itself.

    `queue` counts all prompts on it, the running one and those of other clients included, and
    `foreign` those that are not ours, None if it does not tell. `memory` and `memory_free` are of
    the machine, in bytes, 0 if it does not tell them. `writes_prompts` says whether it writes the
    prompt into each picture file, also into those of its temp folder: as long as it does not run
    with --disable-metadata; None if it does not tell. `fault` says why the host could not be asked;
    the other fields are then empty.
    """

    name: str
    version: str = ""
    devices: tuple[GpuDevice, ...] = ()
    queue: int = 0
    foreign: int | None = None
    memory: int = 0
    memory_free: int = 0
    capabilities: HostCapabilities | None = None
    writes_prompts: bool | None = None
    fault: str | None = None


async def ask_hosts(
    addresses: Sequence[HostAddress], *, headers: Mapping[str, str], timeout_s: float
) -> tuple[HostReport, ...]:
    """Return a report of each host, in the order of the addresses.

    A host that does not answer within `timeout_s` is a report with a `fault`; nothing is raised.
    """
    reports = (_report(address, headers, timeout_s) for address in addresses)
    return tuple(await asyncio.gather(*reports))


async def _report(address: HostAddress, headers: Mapping[str, str], timeout_s: float) -> HostReport:
    try:
        async with (
            asyncio.timeout(timeout_s),
            # The timeout above bounds all calls together; the one of a single call must not
            # pass first.
            HostHTTP(address, headers=headers, request_timeout=2 * timeout_s) as http,
        ):
            return await _read_report(http)
    except TimeoutError:
        return HostReport(name=address.name, fault=f"no answer within {timeout_s:g} s")
    except HostLost as error:
        return HostReport(name=address.name, fault=error.sentence)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return HostReport(name=address.name, fault="what answers there is no ComfyUI")


async def read_resources(http: HostHTTP) -> HostResources:
    """Ask a host for its memory and the length of its queue.

    Raises:
        HostLost: the host does not answer, or what answers is no ComfyUI.
    """
    stats, count = await http.get("/system_stats"), await http.get("/prompt")
    try:
        return HostResources(
            devices=tuple(_device(fields) for fields in stats["devices"]),
            queue=int(count["exec_info"]["queue_remaining"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HostLost(f"what answers at {http.name} is no ComfyUI") from error


async def _read_report(http: HostHTTP) -> HostReport:
    stats = await http.get("/system_stats")
    count = await http.get("/prompt")
    definitions = await http.get("/object_info")
    return HostReport(
        name=http.name,
        version=str(stats["system"]["comfyui_version"]),
        devices=tuple(_device(fields) for fields in stats["devices"]),
        writes_prompts=_writes_prompts(stats["system"]),
        queue=int(count["exec_info"]["queue_remaining"]),
        foreign=await _count_foreign(http),
        memory=int(stats["system"].get("ram_total", 0)),
        memory_free=int(stats["system"].get("ram_free", 0)),
        # Up to a megabyte: read in a thread.
        capabilities=await asyncio.to_thread(HostCapabilities.read, definitions),
    )


async def _count_foreign(http: HostHTTP) -> int | None:
    """Count the prompts of the queue that are not ours: our client has the prompt's own id."""
    try:
        queue = await http.get("/queue")
    except HostLost:  # the queue holds all graphs, which may be too much
        return None
    items = [*queue["queue_running"], *queue["queue_pending"]]
    return sum(bool(item[3].get("client_id") != item[1]) for item in items)


def _writes_prompts(system: Mapping[str, Any]) -> bool | None:
    argv = system.get("argv")
    return "--disable-metadata" not in argv if isinstance(argv, list) else None


def _device(fields: Mapping[str, Any]) -> GpuDevice:
    return GpuDevice(
        name=str(fields["name"]),
        memory=int(fields["vram_total"]),
        memory_free=int(fields["vram_free"]),
    )
