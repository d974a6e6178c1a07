"""What benchmarks reckon with: tables, verdicts, timelines."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.benchmarks.__main__ import figures_of
from tests.benchmarks.load.servers import BenchmarkServers
from tests.benchmarks.report import gpu_time, table, timeline
from tests.benchmarks.report.calibration import Calibration
from tests.benchmarks.report.figure import Figure
from tests.benchmarks.report.gpu_time import Span, Timeline


def figure(**given: Any) -> Figure:
    return Figure(**{"row": "saturation", "name": "ours", "measured": "0.99", **given})


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({"is_reached": True}, "reached"),
        ({"is_reached": False}, "MISSED"),
        ({"is_reached": None}, ""),
        ({"is_reached": True, "sandbox_cpu": 0.91}, "sandbox too busy to say"),
        ({"is_reached": False, "sandbox_cpu": 0.90}, "MISSED"),
    ],
)
def test_a_verdict_says_what_was_reached_unless_the_sandbox_was_measured(
    given: dict[str, Any], verdict: str
) -> None:
    assert figure(**given).verdict == verdict


async def test_a_row_that_fails_keeps_what_it_has_measured_and_says_why() -> None:
    async def row(_: BenchmarkServers) -> AsyncGenerator[Figure, None]:
        yield figure()
        raise RuntimeError("a worker ended\nat its start")

    nowhere = BenchmarkServers(
        database_url="", redis_url="", directory=Path(), postgres_log=Path(), pids={}
    )
    measured, failed = await figures_of("saturation", row, nowhere)

    assert measured == figure()
    assert failed.measured == "RuntimeError: a worker ended at its start"
    assert failed.verdict == "MISSED"


@pytest.mark.parametrize(("loop_s", "most"), [(0.3, 25.0), (1.25, 25.0), (2.5, 50.0)])
def test_a_slower_machine_has_more_time_and_a_faster_one_no_less(
    loop_s: float, most: float
) -> None:
    assert Calibration(loop_s=loop_s).most(25.0) == most


def test_the_table_is_markdown_with_a_row_for_each_figure() -> None:
    rows = table.text([figure(worker_cpu=0.25), figure(name="theirs")]).splitlines()

    assert len(rows) == 4
    assert "| saturation: ours " in rows[2]
    assert "25%" in rows[2]
    assert len({len(row) for row in rows}) == 1


@pytest.mark.parametrize(
    ("other", "share"),
    [
        # While both draw, from 2 to 8.
        ([Span(began=2, ended=12)], 1.0),
        # It came too late, or never: the whole run counts.
        ([Span(began=9, ended=12)], 11 / 24),
        ([], 0.5),
    ],
)
def test_saturation_while_all_draw(other: list[Span], share: float) -> None:
    lines = [Timeline(host="1", spans=[Span(began=0, ended=8)]), Timeline(host="2", spans=other)]

    between = gpu_time.while_all_draw(lines)

    assert gpu_time.saturation(lines, between) == pytest.approx(share)


def test_a_timeline_has_a_bar_for_each_drawing_on_one_scale() -> None:
    drawn = ET.fromstring(timeline.svg([_told("a<b", 10.0), _told("slow", 20.0)]))  # noqa: S314 (our own)

    bars = [each for each in drawn.iter() if each.get("fill") == "#3f7d58"]
    widths = [float(each.get("width") or 0) for each in bars]
    assert len(bars) == 4
    assert widths[2] == pytest.approx(2 * widths[0], abs=0.2)
    assert any(each.text == "a<b" for each in drawn.iter())


def _told(name: str, seconds: float) -> dict[str, Any]:
    spans = [{"began": 100.0, "ended": 100.0 + seconds}]
    lines = [{"host": f"gpu-{number}", "spans": spans} for number in range(2)]
    return {"name": name, "facts": {"saturation": 0.5, "timelines": lines}}
