"""The ComfyUI hosts: whether each answers, also on its websocket, and which personas it can draw."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from chatflow_hook.settings import BadSetting
from imagegen.comfy.address import HostAddress
from imagegen.comfy.capabilities import Missing
from imagegen.comfy.errors import HostLost
from imagegen.comfy.host_report import HostReport, ask_hosts
from imagegen.comfy.http import HostHTTP
from imagegen.db.tables import HostUse
from imagegen.doctor.finding import DoctorFinding, Findings, green, red, tls_advice, yellow
from imagegen.monitoring.known_hosts import KnownHosts
from imagegen.settings import HostSettings
from imagegen.workflows.library import Library

_GIB = 2**30
_OLDEST = (0, 3, 64)
# Of the machine's memory; models pass through it on their way to the GPU.
_LEAST_FREE = 0.05


KnownHostsReader = Callable[[], Awaitable[KnownHosts]]


async def check(
    settings: HostSettings,
    library: Callable[[], Awaitable[Library]],
    known_hosts: KnownHostsReader,
    *,
    timeout_s: float,
) -> Findings:
    """Yield how each host is that the workers use, and which personas cannot be drawn.

    No prompt is posted. The hosts of COMFYUI_HOSTS are asked at once, the others as soon as they
    are known, in what is left of `timeout_s`.
    """
    known, answers = await _ask_all(settings, known_hosts, timeout_s)
    for finding in _of_sources(known):
        yield finding
    used = [each for each in answers if known.use_of(each.name) == HostUse.ACTIVE]
    is_any_well = any(each.fault is None for each in used)
    for answer in answers:
        if answer not in used:
            yield green(_unused(answer, known))
        elif answer.fault is not None:
            yield (yellow if is_any_well else red)(answer.sentence, _advice(answer, settings))
        else:
            for finding in _of_report(answer.report):
                yield finding
    well = [each.report for each in used if each.fault is None]
    if (writing := [each.name for each in well if each.writes_prompts]) and used:
        yield yellow(
            f"{', '.join(writing)}: the prompt is written into each picture file on the host's disk",
            "start ComfyUI there with --disable-metadata; see docs/comfyui.md",
        )
    if not used:
        yield red(
            "no host is in use",
            "`imagegen hosts resume` or `imagegen hosts add` uses one; see above",
        )
    try:
        loaded = await library()
    except BadSetting:
        return  # the check of the personas says it
    for finding in _coverage(well, loaded):
        yield finding


@dataclass(frozen=True, kw_only=True)
class _HostAnswer:
    """What a host has answered; `socket_fault`: why its websocket delivers nothing, None if it does."""

    address: HostAddress
    report: HostReport
    socket_fault: str | None

    @property
    def name(self) -> str:
        return self.address.name

    @property
    def fault(self) -> str | None:
        return self.report.fault or self.socket_fault

    @property
    def sentence(self) -> str:
        return str(self.fault) if self.name in str(self.fault) else f"{self.name}: {self.fault}"


async def _ask_all(
    settings: HostSettings, known_hosts: KnownHostsReader, timeout_s: float
) -> tuple[KnownHosts, Sequence[_HostAnswer]]:
    ends_at = time.monotonic() + timeout_s
    named, headers = settings.host_addresses, settings.host_headers
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_ask(named, headers, timeout_s), name="hosts of COMFYUI_HOSTS")
        known = await known_hosts()
        wanted = [each for name, each in known.addresses.items() if name not in known.removed]
        others = [each for each in wanted if each not in named]
        left_s = max(0.0, ends_at - time.monotonic())
        asked = [*await _ask(others, headers, left_s), *await asking]
    answers = {answer.address: answer for answer in asked}
    return known, [answers[address] for address in wanted]


async def _ask(
    addresses: Sequence[HostAddress], headers: Mapping[str, str], timeout_s: float
) -> Sequence[_HostAnswer]:
    reports, sockets = await asyncio.gather(
        ask_hosts(addresses, headers=headers, timeout_s=timeout_s),
        asyncio.gather(*(_socket_fault(each, headers, timeout_s) for each in addresses)),
    )
    return [
        _HostAnswer(address=address, report=report, socket_fault=socket_fault)
        for address, report, socket_fault in zip(addresses, reports, sockets, strict=True)
    ]


def _of_sources(known: KnownHosts) -> Iterator[DoctorFinding]:
    """Yield which hosts may be missing below."""
    if known.orders_fault is not None:
        yield yellow(
            f"which hosts were added, drained or removed is not known: {known.orders_fault}",
            "see postgresql",
        )
    for name, why in known.dns_faults.items():
        yield yellow(
            f"the hosts of {name} are not known: {why}",
            "correct the name in COMFYUI_HOSTS, or see why the name servers of this machine "
            "(/etc/resolv.conf) do not answer",
        )
    for name in known.empty_names:
        yield yellow(
            f"{name} has no record, so there is no host of that name",
            "start a host behind it, or correct the name in COMFYUI_HOSTS",
        )


def _unused(answer: _HostAnswer, known: KnownHosts) -> str:
    note = known.note_of(answer.name)
    state = "is drained" if known.use_of(answer.name) == HostUse.DRAINING else "is being removed"
    return (
        f"{answer.name} {state}{f' ({note})' if note else ''}: nothing new is drawn there"
        f"{'' if answer.fault is None else '; it does not answer'}"
    )


def _advice(answer: _HostAnswer, settings: HostSettings) -> str:
    if answer.report.fault is None:
        return "let the proxy before it pass websockets: /ws with the header Upgrade"
    fault, is_added = answer.report.fault, answer.address not in settings.host_addresses
    if re.search(r"answers 40[13] ", fault):
        return "set COMFYUI_TOKEN or COMFYUI_HEADERS to what the proxy before it wants"
    if "no ComfyUI" in fault or "answers 404" in fault:
        return (
            "add it with its right address: `imagegen hosts add`, and remove this one"
            if is_added
            else "correct its address in COMFYUI_HOSTS"
        )
    if (advice := tls_advice(fault)) is not None:
        return advice
    return "start ComfyUI there with --listen, open its port, or take it out of COMFYUI_HOSTS" + (
        f" or DNS, or with `imagegen hosts remove {answer.name}`" if is_added else ""
    )


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
            http.socket(str(uuid4()), within_s=2 * timeout_s),
        ):
            return None
    except TimeoutError:
        return f"{address.name} says nothing on its websocket within {timeout_s:g} s"
    except HostLost as error:
        return error.sentence
