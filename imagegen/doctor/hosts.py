"""The ComfyUI hosts: whether each answers, also on its websocket, and which personas it can draw."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from uuid import uuid4

from chatflow_hook.settings import BadSetting
from imagegen.comfy.address import HostAddress
from imagegen.comfy.capabilities import Missing
from imagegen.comfy.errors import HostLost
from imagegen.comfy.host_report import HostReport, ask_hosts
from imagegen.comfy.http import HostHTTP
from imagegen.doctor.finding import DoctorFinding, Findings, green, red, yellow
from imagegen.settings import HostSettings
from imagegen.workflows.library import Library

_GIB = 2**30
_OLDEST = (0, 3, 64)
# Of the machine's memory; models pass through it on their way to the GPU.
_LEAST_FREE = 0.05


async def check(
    settings: HostSettings,
    library: Callable[[], Awaitable[Library]],
    *,
    timeout_s: float,
) -> Findings:
    """Yield how each host is, and which personas cannot be drawn; no prompt is posted."""
    addresses, headers = settings.host_addresses, settings.host_headers
    reports, sockets = await asyncio.gather(
        ask_hosts(addresses, headers=headers, timeout_s=timeout_s),
        asyncio.gather(*(_socket_fault(each, headers, timeout_s) for each in addresses)),
    )
    faults = [report.fault or socket for report, socket in zip(reports, sockets, strict=True)]
    is_any_well = None in faults
    for report, fault in zip(reports, faults, strict=True):
        if fault is not None:
            sentence = fault if report.name in fault else f"{report.name}: {fault}"
            yield (yellow if is_any_well else red)(sentence, _advice(fault, report))
        else:
            for finding in _of_report(report):
                yield finding
    try:
        loaded = await library()
    except BadSetting:
        return  # the check of the personas says it
    well = [report for report, fault in zip(reports, faults, strict=True) if fault is None]
    for finding in _coverage(well, loaded):
        yield finding


def _advice(fault: str, report: HostReport) -> str:
    if report.fault is None:
        return "let the proxy before it pass websockets: /ws with the header Upgrade"
    if re.search(r"answers 40[13] ", fault):
        return "set COMFYUI_TOKEN or COMFYUI_HEADERS to what the proxy before it wants"
    if "no ComfyUI" in fault or "answers 404" in fault:
        return "correct its address in COMFYUI_HOSTS"
    return "start ComfyUI there with --listen, open its port, or take it out of COMFYUI_HOSTS"


def _of_report(report: HostReport) -> Iterator[DoctorFinding]:
    if _is_older(report.version):
        yield yellow(
            f"{report.name} has ComfyUI {report.version}",
            "update it: 0.3.64 is the oldest that was tried",
        )
    if report.memory and report.memory_free < _LEAST_FREE * report.memory:
        yield yellow(
            f"{report.name} has {report.memory_free / _GIB:.1f} of {report.memory / _GIB:.0f} GiB of "
            "memory free, so it may be ended by its system while it loads a model",
            "add memory, or start ComfyUI with --cache-none or --disable-smart-memory",
        )
    devices = ", ".join(
        f"{each.name} with {each.memory_free / _GIB:.1f} of {each.memory / _GIB:.1f} GiB free"
        for each in report.devices
    )
    others = f", {report.foreign} of them from others" if report.foreign else ""
    yield green(
        f"{report.name} answers, also on its websocket: ComfyUI {report.version}, {devices}, "
        f"{report.queue} prompts in its queue{others}"
    )


def _is_older(version: str) -> bool:
    parts = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    return bool(parts) and parts < _OLDEST


def _coverage(reports: Sequence[HostReport], library: Library) -> Iterator[DoctorFinding]:
    """Yield which personas none, or not all, of these hosts can draw, and what is missing there."""
    if not reports or not library.workflows:
        return
    gaps: dict[tuple[tuple[str, tuple[Missing, ...]], ...], list[str]] = {}
    for persona, workflow in sorted(library.workflows.items()):
        missing = tuple(
            (report.name, lacks)
            for report in reports
            if report.capabilities is not None
            and (lacks := report.capabilities.missing(workflow.requirements))
        )
        if missing:
            gaps.setdefault(missing, []).append(persona)
    for missing, personas in gaps.items():
        names = ", ".join(personas)
        where = "; ".join(
            f"on {host} {', '.join(each.sentence for each in what)}" for host, what in missing
        )
        if len(missing) == len(reports):
            yield red(f"no host can draw {names}: {where}", _ADD)
        else:
            yield yellow(f"not every host can draw {names}: {where}", _ADD)
    if not gaps:
        yield green(f"every host that answers can draw all {len(library.workflows)} personas")


_ADD = (
    "copy the file into ComfyUI's models folder there; a node class is installed with its custom "
    "node, and ComfyUI restarted"
)


async def _socket_fault(
    address: HostAddress, headers: Mapping[str, str], timeout_s: float
) -> str | None:
    """Return why the host's websocket does not deliver its first status; None if it does."""
    try:
        async with (
            asyncio.timeout(timeout_s),
            HostHTTP(address, headers=headers, request_timeout=2 * timeout_s) as http,
            http.socket(str(uuid4())),
        ):
            return None
    except TimeoutError:
        return f"{address.name} says nothing on its websocket within {timeout_s:g} s"
    except HostLost as error:
        return error.sentence
