"""What is made of a graph, and its picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from imagegen.workflows.graph_svg import graph_svg
from imagegen.workflows.new_persona import write_persona
from imagegen.workflows.screening import screened_workflows
from imagegen.workflows.workflow_report import (
    NodeUse,
    WorkflowReport,
    report_on_graph,
    report_on_persona,
)
from tests.support.workflow_exports import node, plain, write_persona_folder

SVG = "{http://www.w3.org/2000/svg}"
BATCH = node("EmptySD3LatentImage", "Size", width=1024, height=768, batch_size=4)
PREVIEW = node("PreviewImage", "<Look & see>", images=["8", 0])


def reported(root: Path, graph: Any, *, more: str = "") -> WorkflowReport:
    return report_on_persona(write_persona_folder(root, graph, more=more))


def of_role(report: WorkflowReport, role: str) -> list[tuple[str, str | None, str]]:
    return [(use.node, use.input, use.detail) for use in report.uses if use.role == role]


def drawn_nodes(svg: str) -> Mapping[str, ET.Element]:
    """Return the groups of an SVG file, by the id of their node."""
    root = ET.fromstring(svg)  # noqa: S314 (our own)
    return {group.attrib["id"].removeprefix("node-"): group for group in root.iter(f"{SVG}g")}


def test_what_is_set_where_is_told(tmp_path: Path) -> None:
    more = '[inputs]\n"3".steps = 9\n'

    report = reported(tmp_path, plain(**{"13": BATCH, "20": PREVIEW}), more=more)

    assert report.fault is None
    assert of_role(report, "prompt") == [("27", "text", "a cat")]
    assert of_role(report, "seed") == [("3", "seed", "0")]
    assert of_role(report, "width") == [("13", "width", "1024")]
    assert of_role(report, "height") == [("13", "height", "768")]
    assert of_role(report, "set") == [("13", "batch_size", "1"), ("3", "steps", "9")]
    assert of_role(report, "picture") == [("9", None, "")]
    assert of_role(report, "not drawn") == [("20", None, "")]


def test_a_text_that_another_node_writes_is_told_with_that_node(tmp_path: Path) -> None:
    linked = node("CLIPTextEncode", text=["70", 0], clip=["30", 0])
    model = node("LanguageModel", url="http://127.0.0.1", prompt="write about a cat")

    report = reported(tmp_path, plain(**{"27": linked, "70": model}))

    assert of_role(report, "prompt") == [("27", "text", "from node 70")]
    assert ("70", None, "") in of_role(report, "not drawn")


def test_words_that_are_kept_are_told(tmp_path: Path) -> None:
    joined = node("ConditioningConcat", conditioning_to=["27", 0], conditioning_from=["71", 0])
    words = node("CLIPTextEncode", "Film", text="grainy film", clip=["30", 0])
    graph = plain(**{"70": joined, "71": words})
    graph["3"]["inputs"]["positive"] = ["70", 0]

    first = reported(tmp_path / "first", graph, more='[nodes]\ntext = "27"\n')
    kept = reported(tmp_path / "kept", graph, more='[nodes]\ntext = "27"\nkeep = ["71"]\n')

    assert first.workflow is None
    assert 'keep = ["71"]' in str(first.fault)
    assert of_role(kept, "kept") == [("71", None, "")]


def test_a_fault_marks_its_node(tmp_path: Path) -> None:
    broken = plain()
    broken["3"]["inputs"]["seed"] = "many"

    report = reported(tmp_path, broken)

    assert report.workflow is None
    assert of_role(report, "fault") == [("3", "seed", "")]


def test_texts_are_screened_as_by_a_worker(tmp_path: Path) -> None:
    graph = plain()
    graph["8"]["_meta"]["title"] = "a photo of a child"

    report = reported(tmp_path, graph)

    assert "breaks a ban" in str(report.fault)


def test_a_persona_toml_that_is_missing_is_the_fault(tmp_path: Path) -> None:
    report = report_on_persona(tmp_path)

    assert report.graph is None
    assert "persona.toml: is missing" in str(report.fault)


def test_a_graph_alone_is_that_of_a_new_persona(tmp_path: Path) -> None:
    file = write_persona_folder(tmp_path, plain()) / "workflow.json"

    report = report_on_graph(file)

    assert (report.fault, report.file) == (None, file)
    assert of_role(report, "prompt") == [("27", "text", "a cat")]


def test_an_own_folder_without_a_graph_has_the_shipped_one(tmp_path: Path) -> None:
    shipped = write_persona_folder(tmp_path / "shipped", plain())
    own = write_persona_folder(tmp_path / "own", plain())
    (own / "workflow.json").unlink()

    report = report_on_persona(own, shipped)

    assert report.file == shipped / "workflow.json"
    assert report.fault is None


def test_the_picture_shows_all_nodes_and_marks_the_chosen_ones(tmp_path: Path) -> None:
    report = reported(tmp_path, plain(**{"20": PREVIEW}))
    assert report.graph is not None

    nodes = drawn_nodes(graph_svg(report.graph, report.uses))

    assert sorted(nodes) == sorted(report.graph.nodes)
    assert [text.text for text in nodes["27"].iter(f"{SVG}text")] == [
        "27  Words",
        "CLIPTextEncode",
        "prompt: text",
    ]
    assert "13  Size" in [text.text for text in nodes["13"].iter(f"{SVG}text")]
    assert "width: width = 1024" in [text.text for text in nodes["13"].iter(f"{SVG}text")]
    colours = {node_id: next(group.iter(f"{SVG}rect")).attrib for node_id, group in nodes.items()}
    assert colours["27"]["stroke"] != colours["28"]["stroke"]
    assert colours["3"]["stroke"] not in {colours["27"]["stroke"], colours["9"]["stroke"]}
    assert "stroke-dasharray" in colours["20"]
    assert "stroke-dasharray" not in colours["9"]


def test_no_node_of_the_picture_lies_on_another(tmp_path: Path) -> None:
    report = reported(tmp_path, plain(**{"20": PREVIEW}))
    assert report.graph is not None

    nodes = drawn_nodes(graph_svg(report.graph, report.uses)).values()

    frames = [next(group.iter(f"{SVG}rect")).attrib for group in nodes]
    boxes = [[int(frame[key]) for key in ("x", "y", "width", "height")] for frame in frames]
    for x, y, width, height in boxes:
        overlapping = [
            other
            for other in boxes
            if x < other[0] + other[2]
            and other[0] < x + width
            and y < other[1] + other[3]
            and other[1] < y + height
        ]
        assert overlapping == [[x, y, width, height]]


def test_signs_that_no_xml_has_are_left_out(tmp_path: Path) -> None:
    odd = node("SaveImage", 'a"<b>\x0b\ufffe&', images=["8", 0], filename_prefix="x")
    report = reported(tmp_path, plain(**{"9": odd}))
    assert report.graph is not None

    nodes = drawn_nodes(graph_svg(report.graph, [NodeUse(role="picture", node="9")]))

    assert next(nodes["9"].iter(f"{SVG}text")).text == '9  a"<b>  &'


def test_a_new_folder_can_be_loaded_as_it_is(tmp_path: Path) -> None:
    report = report_on_graph(write_persona_folder(tmp_path / "old", plain()) / "workflow.json")
    assert report.graph is not None

    folder = write_persona(tmp_path / "new", "nora", report.graph).folder

    library = screened_workflows(tmp_path / "new")
    assert not library.faults
    assert library.find("nora").persona.display_name == "Nora"
    assert library.find("nora").path == folder / "workflow.json"
