"""Rules and dashboards use only metrics and labels that exist, and the rules do what they say."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagegen.metrics import STAGE_BUCKETS, PictureStage
from tests.support.documented_metrics import PAGE, base_name, labels_by_metric

DEPLOY = Path(__file__).parents[3] / "docs" / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yaml"
RULE_TESTS = sorted((DEPLOY / "prometheus").glob("*_test.yaml"))
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
PROMTOOL = shutil.which("promtool")

# What Prometheus itself adds, and what a histogram has.
OF_PROMETHEUS = {"instance", "job"}
OF_PROCESS = {
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_open_fds",
}
RECORDED = set(re.findall(r"record: (\S+)", RULES.read_text()))
ALERTS = re.findall(r"alert: (\S+)", RULES.read_text())

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed; Debian has it in the package prometheus"
)


def rule_expressions() -> list[str]:
    text = RULES.read_text()
    blocks = re.findall(r"expr: \|\n((?: {10,}.*\n)+)|expr: ([^|\n].*)\n", text)
    return [block or line for block, line in blocks]


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (panel for panel in dashboard["panels"] if panel["type"] != "row")


def expressions_of(dashboard: Path) -> list[str]:
    board = json.loads(dashboard.read_text())
    return [target["expr"] for panel in panels(board) for target in panel["targets"]]


ALL = [
    *((RULES.name, expression) for expression in rule_expressions()),
    *((file.name, expression) for file in DASHBOARDS for expression in expressions_of(file)),
]


def metrics_of(expression: str) -> dict[str, set[str]]:
    """Return the metrics of an expression with the labels that it selects by."""
    selected = re.findall(
        r"\b((?:imagegen|process)[_:][\w:]+)(?:\{(.*?)\})?(?=[\s\[)/*]|$)", expression
    )
    found: dict[str, set[str]] = {}
    for name, selector in selected:
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
    return found


def grouped_by(expression: str) -> set[str]:
    groups = re.findall(r"\b(?:by|on|group_left)\s*\(([^)]*)\)", expression)
    return {label.strip() for group in groups for label in group.split(",") if label.strip()}


def labels_of(metric: str) -> set[str]:
    base = base_name(metric)
    if metric in RECORDED | OF_PROCESS:
        return set(OF_PROMETHEUS)
    own = labels_by_metric("imagegen_")[base]
    return {*own, *OF_PROMETHEUS, *({"le"} if metric.endswith("_bucket") else ())}


def test_there_are_expressions_to_check() -> None:
    assert len(rule_expressions()) == RULES.read_text().count("expr:")
    assert all(metrics_of(expression) for _, expression in ALL)


@pytest.mark.parametrize(("file", "expression"), ALL)
def test_each_metric_and_each_label_exists(file: str, expression: str) -> None:
    del file  # for the name of the case
    metrics = metrics_of(expression)
    known = {*labels_by_metric("imagegen_"), *RECORDED, *OF_PROCESS}

    assert {metric for metric in metrics if base_name(metric) not in known} == set()
    for metric, labels in metrics.items():
        assert labels <= labels_of(metric)
    assert grouped_by(expression) <= set().union(*map(labels_of, metrics))


def test_a_name_that_does_not_exist_would_be_found() -> None:
    assert base_name("imagegen_pictures_total") not in labels_by_metric("imagegen_")
    assert metrics_of('sum(rate(imagegen_stage_seconds_bucket{stage="x", le="60.0"}[5m]))') == {
        "imagegen_stage_seconds_bucket": {"stage", "le"}
    }


def test_the_objective_is_a_bucket_of_the_histogram() -> None:
    limits = set(re.findall(r'le="([\d.]+)"', RULES.read_text()))

    assert limits == {"60.0"}
    assert {float(limit) for limit in limits} <= set(STAGE_BUCKETS)


def test_the_stages_of_the_dashboard_are_those_of_the_code() -> None:
    board = (DEPLOY / "grafana" / "picture.json").read_text()

    shown = set(re.findall(r'stage=\\"(\w+)\\"', board))
    assert shown == {stage.value for stage in PictureStage}


def test_each_alert_has_a_section_that_it_links_to() -> None:
    rules = RULES.read_text()
    sections = re.findall(r"^### (Imagegen\w+)$", PAGE.read_text(), re.MULTILINE)

    linked = re.findall(r"runbook_url: docs/metrics.md#(\w+)$", rules, re.MULTILINE)
    assert sections == ALERTS
    assert linked == [alert.lower() for alert in ALERTS]
    for what in ("summary: ", "action: ", "severity: "):
        assert rules.count(what) == len(ALERTS)


def test_each_alert_is_tested() -> None:
    tests = "".join(file.read_text() for file in RULE_TESTS)

    fired = set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n", tests))
    assert fired == set(ALERTS)


@needs_promtool
@pytest.mark.parametrize(
    "command",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yaml"),
        *(("test", "rules", file.name) for file in RULE_TESTS),
    ],
    ids=" ".join,
)
def test_promtool_accepts_the_files(command: tuple[str, ...]) -> None:
    ended = subprocess.run(
        [str(PROMTOOL), *command],
        cwd=DEPLOY / "prometheus",
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.name)
def test_a_dashboard_has_what_grafana_needs(file: Path) -> None:
    board = json.loads(file.read_text())
    ids = [panel["id"] for panel in board["panels"]]

    assert len(set(ids)) == len(ids)
    assert board["uid"] == f"chatflow-imagegen-{file.stem}"
    assert [variable["type"] for variable in board["templating"]["list"]] == ["datasource"]
    for panel in panels(board):
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["title"]
        assert panel["description"]
        for source in (panel["datasource"], *(each["datasource"] for each in panel["targets"])):
            assert source == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.name)
def test_the_panels_of_a_dashboard_do_not_lie_on_each_other(file: Path) -> None:
    places = [panel["gridPos"] for panel in json.loads(file.read_text())["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(set(cells)) == len(cells)
