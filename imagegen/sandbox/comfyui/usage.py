"""What a host has drawn over all its restarts: GPU seconds, idle gaps, double drawings, loads."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any

from imagegen.sandbox.comfyui.execution.executor import ExecutedPrompt
from imagegen.sandbox.comfyui.execution.node_order import Graph
from imagegen.sandbox.comfyui.faults.prompt_faults import ModelLoad
from imagegen.sandbox.comfyui.faults.script import FaultEvent
from imagegen.sandbox.comfyui.state import AccountState, PostedPrompt

# The key of extra_data under which a client may name the request that a prompt is for.
REQUEST = "chatflow_request"


@dataclass(frozen=True, kw_only=True)
class DrawingRecord:
    """One prompt that was on the GPU; times are seconds as time.time() counts.

    `picture` is equal for drawings of the same picture: the request id that the client put into
    extra_data under REQUEST, or else a digest of the graph without its file names.
    """

    host: str
    prompt_id: str
    picture: str
    began: float
    seconds: float
    succeeded: bool

    @property
    def ended(self) -> float:
        return self.began + self.seconds


@dataclass(frozen=True, kw_only=True)
class Outage:
    """A time in which the host was out of reach; `ended` is None while it lasts.

    `kind` is `dead` or `frozen`.
    """

    kind: str
    began: float
    ended: float | None = None


@dataclass(frozen=True, kw_only=True)
class IdleGap:
    """A time in which the GPU had nothing to draw although the host was up."""

    began: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class DoubleDrawing:
    """A picture that was drawn to the end twice; which of the two began first is the earlier one.

    It is `avoidable` if the host of the earlier drawing was in reach until the later one began.
    """

    picture: str
    prompt_ids: tuple[str, str]
    hosts: tuple[str, str]
    gpu_seconds: float
    avoidable: bool


@dataclass(frozen=True, kw_only=True)
class UsageReport:
    """What a host did over all its restarts."""

    host: str
    posted: Mapping[str, int]
    drawings: Sequence[DrawingRecord]
    loads: Sequence[ModelLoad]
    outages: Sequence[Outage]
    troubles: Sequence[FaultEvent]

    @property
    def gpu_seconds(self) -> float:
        """All the time with a prompt on the GPU, with model loads and interrupted prompts."""
        return sum(drawing.seconds for drawing in self.drawings)

    @property
    def gaps(self) -> list[IdleGap]:
        """The idle times between the first drawing and the last, without the time it was dead."""
        ordered = sorted(self.drawings, key=lambda drawing: drawing.began)
        found = (
            IdleGap(began=a.ended, seconds=b.began - a.ended - self._dead_seconds(a.ended, b.began))
            for a, b in pairwise(ordered)
        )
        return [gap for gap in found if gap.seconds > 0]

    @property
    def doubles(self) -> list[DoubleDrawing]:
        """The pictures that this host drew more than once."""
        return doubles([self])

    def as_json(self) -> dict[str, Any]:
        """Return the body of GET /sandbox/account: sums first, then every record."""
        gaps, double_drawings = self.gaps, self.doubles
        return {
            "host": self.host,
            "posted": sum(self.posted.values()),
            "drawn": len(self.drawings),
            "gpu_seconds": self.gpu_seconds,
            "idle_seconds": sum(gap.seconds for gap in gaps),
            "double_drawings": len(double_drawings),
            "model_loads": len(self.loads),
            "prompts": self._prompts(),
            "drawings": [asdict(each) for each in self.drawings],
            "gaps": [asdict(each) for each in gaps],
            "doubles": [asdict(each) for each in double_drawings],
            "loads": [asdict(each) for each in self.loads],
            "outages": [asdict(each) for each in self.outages],
            "troubles": [each.as_json() for each in self.troubles],
        }

    def was_out(self, began: float, ended: float) -> bool:
        """Tell whether the host was out of reach at any moment between two times."""
        return any(
            outage.began <= ended and (outage.ended is None or outage.ended >= began)
            for outage in self.outages
        )

    def _dead_seconds(self, began: float, ended: float) -> float:
        return sum(
            max(0.0, min(ended, outage.ended or ended) - max(began, outage.began))
            for outage in self.outages
            if outage.kind == "dead"
        )

    def _prompts(self) -> dict[str, dict[str, Any]]:
        drawn = Counter(drawing.prompt_id for drawing in self.drawings)
        seconds: Counter[str] = Counter()
        for drawing in self.drawings:
            # A Counter adds up fractions as well.
            seconds[drawing.prompt_id] += drawing.seconds  # type: ignore[assignment]
        return {
            prompt_id: {
                "posted": count,
                "drawn": drawn[prompt_id],
                "gpu_seconds": seconds[prompt_id],
            }
            for prompt_id, count in self.posted.items()
        }


@dataclass(frozen=True, kw_only=True)
class UsageRecords:
    """The account of all runs of a host, and the times when it was out of reach."""

    account: AccountState
    outages: list[Outage] = field(default_factory=list)

    def begin_outage(self, kind: str) -> None:
        """Record that the host is out of reach from now on; an outage that lasts ends first."""
        self.end_outage()
        self.outages.append(Outage(kind=kind, began=time.time()))

    def end_outage(self) -> None:
        """Record that the host is in reach again; does nothing if it was."""
        if self.outages and self.outages[-1].ended is None:
            self.outages[-1] = replace(self.outages[-1], ended=time.time())

    def report(self, host: str, troubles: Sequence[FaultEvent]) -> UsageReport:
        """Add everything up."""
        prompts = {posted.prompt_id: posted for posted in self.account.posted}
        return UsageReport(
            host=host,
            posted=Counter(posted.prompt_id for posted in self.account.posted),
            drawings=[_drawing_record(host, drawn, prompts) for drawn in self.account.drawn],
            loads=tuple(self.account.loads),
            outages=tuple(self.outages),
            troubles=tuple(troubles),
        )


def doubles(reports: Iterable[UsageReport]) -> list[DoubleDrawing]:
    """Find the pictures that these hosts together drew to the end more than once."""
    hosts = {report.host: report for report in reports}
    pictures: dict[str, list[DrawingRecord]] = {}
    drawings = [each for report in hosts.values() for each in report.drawings if each.succeeded]
    for drawing in sorted(drawings, key=lambda drawing: drawing.began):
        pictures.setdefault(drawing.picture, []).append(drawing)
    return [
        _double_drawing(before, again, hosts[before.host])
        for same in pictures.values()
        for before, again in pairwise(same)
    ]


def picture_of(graph: Graph, extra_data: Mapping[str, Any]) -> str:
    """Return a name for the picture that a prompt is for; equal names mean the same picture."""
    if extra_data.get(REQUEST) is not None:
        return str(extra_data[REQUEST])
    nodes = {
        node: {**facts, "inputs": _without_file_prefix(facts)} for node, facts in graph.items()
    }
    text = json.dumps(nodes, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_file_prefix(node: Mapping[str, Any]) -> dict[str, Any]:
    inputs = node.get("inputs", {})
    return {name: value for name, value in inputs.items() if name != "filename_prefix"}


def _double_drawing(
    before: DrawingRecord, again: DrawingRecord, host: UsageReport
) -> DoubleDrawing:
    return DoubleDrawing(
        picture=again.picture,
        prompt_ids=(before.prompt_id, again.prompt_id),
        hosts=(before.host, again.host),
        gpu_seconds=again.seconds,
        avoidable=not host.was_out(before.began, again.began),
    )


def _drawing_record(
    host: str, drawn: ExecutedPrompt, prompts: Mapping[str, PostedPrompt]
) -> DrawingRecord:
    posted = prompts[drawn.prompt_id]
    return DrawingRecord(
        host=host,
        prompt_id=drawn.prompt_id,
        picture=picture_of(posted.graph, posted.extra_data),
        began=drawn.when - drawn.seconds,
        seconds=drawn.seconds,
        succeeded=drawn.succeeded,
    )
