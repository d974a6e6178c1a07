"""A picture of a graph, as SVG: nodes in columns from left to right, and what is done with them; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from imagegen.workflows.graph import Graph, Node
from imagegen.workflows.workflow_report import NodeUse

_WIDTH, _GAP_X, _GAP_Y, _MARGIN = 240, 90, 24, 24
_HEAD, _LINE = 44, 16
_MAX_CHARACTERS = 34
_LEGEND = 32
# The colour of the frame of a node, by role; of several roles the first one counts.
_COLOURS = {
    "fault": "#c62828",
    "prompt": "#2e7d32",
    "picture": "#6a1b9a",
    "seed": "#ef6c00",
    "width": "#1565c0",
    "height": "#1565c0",
    "set": "#00838f",
    "kept": "#8d6e00",
    "not drawn": "#bdbdbd",
}
_PLAIN = "#616161"


@dataclass(frozen=True, kw_only=True)
class _Box:
    node: Node
    lines: tuple[str, ...]
    colour: str
    is_drawn: bool
    x: int
    y: int

    @property
    def height(self) -> int:
        return _HEAD + _LINE * len(self.lines)


def graph_svg(graph: Graph, uses: Iterable[NodeUse]) -> str:
    """Return the SVG file of a graph; the nodes that `uses` names are marked."""
    by_node: dict[str, list[NodeUse]] = {}
    for use in uses:
        by_node.setdefault(use.node, []).append(use)
    boxes = _placed(graph, by_node)
    width = max(box.x for box in boxes.values()) + _WIDTH + _MARGIN
    height = max(box.y + box.height for box in boxes.values()) + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"',
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fafafa"/>',
        *_legend({use.role for found in by_node.values() for use in found}),
        *_edges(boxes),
        *(line for box in boxes.values() for line in _drawn(box)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _placed(graph: Graph, uses: Mapping[str, list[NodeUse]]) -> dict[str, _Box]:
    """Place each node right of all that lead to it, about as high as those."""
    columns: dict[int, list[Node]] = {}
    column_of: dict[str, int] = {}
    for node in graph.nodes.values():
        column = max((column_of[link.node] + 1 for link in node.links.values()), default=0)
        column_of[node.id] = column
        columns.setdefault(column, []).append(node)
    boxes: dict[str, _Box] = {}
    for column in sorted(columns):
        y = _MARGIN + _LEGEND
        for node in sorted(columns[column], key=lambda each: _height_of_sources(each, boxes)):
            box = _box(node, uses.get(node.id, []), x=_MARGIN + column * (_WIDTH + _GAP_X), y=y)
            boxes[node.id] = box
            y += box.height + _GAP_Y
    return boxes


def _height_of_sources(node: Node, boxes: Mapping[str, _Box]) -> float:
    heights = [boxes[link.node].y for link in node.links.values()]
    return sum(heights) / len(heights) if heights else 0


def _box(node: Node, uses: list[NodeUse], *, x: int, y: int) -> _Box:
    roles = {use.role for use in uses}
    return _Box(
        node=node,
        lines=tuple(_line(use) for use in uses),
        colour=next((colour for role, colour in _COLOURS.items() if role in roles), _PLAIN),
        is_drawn="not drawn" not in roles,
        x=x,
        y=y,
    )


def _line(use: NodeUse) -> str:
    named = use.role if use.input is None else f"{use.role}: {use.input}"
    return f"{named} = {use.detail}" if use.role in ("set", "width", "height") else named


def _legend(roles: set[str]) -> Iterable[str]:
    x = _MARGIN
    for role, colour in _COLOURS.items():
        if role in roles:
            yield f'<rect x="{x}" y="14" width="12" height="12" fill="{colour}"/>'
            yield f'<text x="{x + 18}" y="24" fill="#212121">{role}</text>'
            x += 30 + 8 * len(role)


def _edges(boxes: Mapping[str, _Box]) -> Iterable[str]:
    for box in boxes.values():
        for number, (name, link) in enumerate(box.node.links.items()):
            source = boxes[link.node]
            x1, y1 = source.x + _WIDTH, source.y + _HEAD // 2
            x2, y2 = box.x, box.y + 12 + number * (box.height - 20) // len(box.node.links)
            bend = max(40, (x2 - x1) // 2)
            is_drawn = source.is_drawn and box.is_drawn
            yield (
                f'<path d="M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}" fill="none"'
                f' stroke="{"#9e9e9e" if is_drawn else "#e0e0e0"}">'
                f"<title>{_text(f'{source.node} to {box.node}, input {name}')}</title></path>"
            )


def _drawn(box: _Box) -> Iterable[str]:
    node, ink = box.node, "#212121" if box.is_drawn else "#9e9e9e"
    is_marked = box.colour != _PLAIN
    dashes = "" if box.is_drawn else ' stroke-dasharray="4 3"'
    yield (
        f'<g id="node-{_text(node.id)}"><title>{_text(str(node))}</title>'
        f'<rect x="{box.x}" y="{box.y}" width="{_WIDTH}" height="{box.height}" rx="6"'
        f' fill="#fff" stroke="{box.colour}" stroke-width="{3 if is_marked else 1}"{dashes}/>'
    )
    rows = [
        (18, f"{node.id}  {node.title or node.class_type}", ink, ' font-weight="bold"'),
        (34, node.class_type, ink, ""),
        *((50 + _LINE * n, line, box.colour, "") for n, line in enumerate(box.lines)),
    ]
    for y, text, colour, weight in rows:
        yield (
            f'<text x="{box.x + 10}" y="{box.y + y}" fill="{colour}"{weight}>'
            f"{_text(_cut(text))}</text>"
        )
    yield "</g>"


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CHARACTERS else f"{text[: _MAX_CHARACTERS - 1]}…"


def _text(text: str) -> str:
    """Return a text as XML takes it: control characters are in no XML file."""
    return escape("".join(sign if sign.isprintable() else " " for sign in text))
