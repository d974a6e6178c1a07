"""The output of `imagegen personas check`, as text and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from imagegen.comfy.host_report import HostReport
from imagegen.workflows.graph import Graph
from imagegen.workflows.workflow_report import NodeUse, WorkflowReport


@dataclass(frozen=True, kw_only=True)
class HostAnswer:
    """What one host lacks, by the file of the graph; `fault` says why it could not be asked."""

    host: str
    fault: str | None
    missing: Mapping[Path, tuple[str, ...]]

    @classmethod
    def of(cls, answer: HostReport, reports: Sequence[WorkflowReport]) -> Self:
        """Compare the answer of a host with what the graphs need."""
        missing = {
            report.file: tuple(
                each.sentence for each in answer.capabilities.missing(report.workflow.requirements)
            )
            for report in reports
            if report.workflow is not None and answer.capabilities is not None
        }
        return cls(host=answer.name, fault=answer.fault, missing=missing)


def is_drawable(report: WorkflowReport, hosts: Sequence[HostAnswer]) -> bool:
    """Return whether a worker would draw it, and one of the hosts could; no hosts could as well."""
    if report.workflow is None:
        return False
    return not hosts or any(host.missing.get(report.file) == () for host in hosts)


def as_text(report: WorkflowReport, hosts: Sequence[HostAnswer]) -> str:
    """Return what is set where, what is needed, and what each host lacks; or the fault."""
    if report.workflow is None:
        return f"cannot be drawn: {report.fault}"
    lines = [f"{'/'.join(report.file.parts[-2:])} can be drawn"]
    lines += [_as_line(report.graph, use) for use in report.uses]
    lines += [f"  {word:<9}  {value}" for word, value in _needs(report)]
    lines += [f"  {'host':<9}  {host.host}: {_sentence(host, report)}" for host in hosts]
    return "\n".join(lines)


def as_json(report: WorkflowReport, hosts: Sequence[HostAnswer]) -> dict[str, Any]:
    """Return the same as plain objects."""
    workflow = report.workflow
    return {
        "file": str(report.file),
        "state": "broken" if workflow is None else "ok",
        "why": None if report.fault is None else report.fault.sentence,
        "uses": [
            {"role": use.role, "node": use.node, "input": use.input, "detail": use.detail}
            for use in report.uses
        ],
        "classes": [] if workflow is None else sorted(workflow.requirements.classes),
        "models": []
        if workflow is None
        else sorted({each.name for each in workflow.requirements.models}),
        "hosts": [
            {
                "host": host.host,
                "why": host.fault,
                "lacks": list(host.missing.get(report.file, ())),
            }
            for host in hosts
        ],
    }


def _as_line(graph: Graph | None, use: NodeUse) -> str:
    named = use.node if graph is None else str(graph.nodes[use.node])
    place = named if use.input is None else f"{named} input {use.input}"
    return f"  {use.role:<9}  {place}{f': {use.detail}' if use.detail else ''}"


def _needs(report: WorkflowReport) -> list[tuple[str, str]]:
    if report.workflow is None:
        return []
    needs = report.workflow.requirements
    models = sorted((each.class_type, each.input, each.name) for each in needs.models)
    return [
        ("nodes", ", ".join(sorted(needs.classes))),
        *(("model", f"{class_type} {name}: {file}") for class_type, name, file in models),
    ]


def _sentence(host: HostAnswer, report: WorkflowReport) -> str:
    if host.fault is not None:
        return host.fault.removeprefix(f"{host.host} ")
    return "; ".join(host.missing.get(report.file, ())) or "has everything"
