"""The ledger of sandbox hosts: idle gaps and double drawings, from drawings alone."""

from imagegen.sandbox.comfyui.usage import (
    DoubleDrawing,
    DrawingRecord,
    Outage,
    UsageReport,
    doubles,
    picture_of,
)
from tests.support.comfyui_client import graph_without_model, persona_graph


def drawing(
    prompt_id: str,
    began: float,
    seconds: float = 1.0,
    *,
    host: str = "gpu-1",
    picture: str | None = None,
    succeeded: bool = True,
) -> DrawingRecord:
    return DrawingRecord(
        host=host,
        prompt_id=prompt_id,
        picture=picture or prompt_id,
        began=began,
        seconds=seconds,
        succeeded=succeeded,
    )


def ledger(
    *drawings: DrawingRecord, host: str = "gpu-1", outages: tuple[Outage, ...] = ()
) -> UsageReport:
    return UsageReport(
        host=host,
        posted={each.prompt_id: 1 for each in drawings},
        drawings=drawings,
        loads=(),
        outages=outages,
        troubles=(),
    )


def test_gpu_seconds_are_those_of_all_drawings_failed_ones_too() -> None:
    assert ledger(drawing("a", 0, 2), drawing("b", 3, 4, succeeded=False)).gpu_seconds == 6


def test_a_gap_lies_between_two_drawings() -> None:
    (gap,) = ledger(drawing("a", 0, 2), drawing("b", 3), drawing("c", 4)).gaps

    assert (gap.began, gap.seconds) == (2, 1)


def test_a_dead_host_is_not_idle_and_a_frozen_one_is() -> None:
    dead = Outage(kind="dead", began=2, ended=5)
    frozen = Outage(kind="frozen", began=2, ended=5)
    drawings = (drawing("a", 0, 1), drawing("b", 6))

    assert [gap.seconds for gap in ledger(*drawings, outages=(dead,)).gaps] == [2]
    assert [gap.seconds for gap in ledger(*drawings, outages=(frozen,)).gaps] == [5]


def test_a_picture_drawn_twice_is_double_and_an_interrupted_one_is_not() -> None:
    twice = ledger(drawing("a", 0), drawing("a", 1, 3))
    once = ledger(drawing("a", 0, succeeded=False), drawing("a", 1))

    assert twice.doubles == [
        DoubleDrawing(
            picture="a",
            prompt_ids=("a", "a"),
            hosts=("gpu-1", "gpu-1"),
            gpu_seconds=3,
            avoidable=True,
        )
    ]
    assert once.doubles == []


def test_hosts_together_draw_double() -> None:
    here = ledger(drawing("a", 0, picture="7f3a"))
    there = ledger(drawing("b", 5, picture="7f3a", host="gpu-2"), host="gpu-2")

    (double,) = doubles([here, there])

    assert double.hosts == ("gpu-1", "gpu-2")
    assert double.avoidable
    assert (here.doubles, there.doubles) == ([], [])


def test_a_double_is_not_avoidable_when_the_first_host_was_out_of_reach() -> None:
    out = Outage(kind="frozen", began=3, ended=4)
    here = ledger(drawing("a", 0, picture="7f3a"), outages=(out,))
    there = ledger(drawing("b", 5, picture="7f3a", host="gpu-2"), host="gpu-2")

    assert [double.avoidable for double in doubles([here, there])] == [False]


def test_a_frozen_host_may_end_its_drawing_after_the_other_one() -> None:
    out = Outage(kind="frozen", began=0.5, ended=20)
    here = ledger(drawing("a", 0, 21, picture="7f3a"), outages=(out,))
    there = ledger(drawing("b", 12, picture="7f3a", host="gpu-2"), host="gpu-2")

    (double,) = doubles([here, there])

    assert double.hosts == ("gpu-1", "gpu-2")
    assert not double.avoidable


def test_an_outage_before_or_after_excuses_nothing() -> None:
    outages = (Outage(kind="dead", began=0, ended=1), Outage(kind="dead", began=9))
    twice = ledger(drawing("a", 2), drawing("a", 4), outages=outages)

    assert [double.avoidable for double in twice.doubles] == [True]


def test_equal_graphs_but_for_the_file_name_are_the_same_picture() -> None:
    other = graph_without_model(1)
    other["2"]["inputs"]["filename_prefix"] = "another"

    assert picture_of(graph_without_model(1), {}) == picture_of(other, {})
    assert picture_of(graph_without_model(1), {}) != picture_of(graph_without_model(2), {})


def test_a_request_that_is_named_makes_the_picture() -> None:
    request = {"chatflow_request": "7f3a"}

    assert (
        picture_of(persona_graph(seed=1), request)
        == picture_of(persona_graph(seed=2), request)
        == "7f3a"
    )
