"""Survey: what hosts say of themselves, asked all at once and for people to read."""

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
    """A graphics card, or what stands in for one; memory in bytes."""

    name: str
    memory: int
    memory_free: int


@dataclass(frozen=True, kw_only=True)
class HostReport:
    """One host. `fault` says why it could not be asked; then nothing else is known.

    `queue` counts the prompts on it, the running one and those of others included.
    """

    name: str
    version: str = ""
    devices: tuple[GpuDevice, ...] = ()
    queue: int = 0
    stock: HostCapabilities | None = None
    fault: str | None = None


async def ask_hosts(
    addresses: Sequence[HostAddress], *, headers: Mapping[str, str], timeout_s: float
) -> tuple[HostReport, ...]:
    """Ask every host; one that does not answer in time is a report of that."""
    asked = (_report(address, headers, timeout_s) for address in addresses)
    return tuple(await asyncio.gather(*asked))


async def _report(address: HostAddress, headers: Mapping[str, str], timeout_s: float) -> HostReport:
    try:
        async with (
            asyncio.timeout(timeout_s),
            # The limit above is the one that counts, for all calls together.
            HostHTTP(address, headers=headers, request_timeout=2 * timeout_s) as http,
        ):
            return await _asked(http)
    except TimeoutError:
        return HostReport(name=address.name, fault=f"no answer within {timeout_s:g} s")
    except HostLost as error:
        return HostReport(name=address.name, fault=error.sentence)
    except (KeyError, TypeError, ValueError, AttributeError):
        return HostReport(name=address.name, fault="what answers there is no ComfyUI")


async def _asked(http: HostHTTP) -> HostReport:
    stats = await http.get("/system_stats")
    count = await http.get("/prompt")
    stock = await asyncio.to_thread(HostCapabilities.read, await http.get("/object_info"))
    return HostReport(
        name=http.name,
        version=str(stats["system"]["comfyui_version"]),
        devices=tuple(_device(told) for told in stats["devices"]),
        queue=int(count["exec_info"]["queue_remaining"]),
        stock=stock,
    )


def _device(told: Mapping[str, Any]) -> GpuDevice:
    return GpuDevice(
        name=str(told["name"]),
        memory=int(told["vram_total"]),
        memory_free=int(told["vram_free"]),
    )
