"""What a host has, what a graph requires, and the error for a graph that no host can draw.

Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from imagegen.comfy.errors import NobodyCanDraw

_MOST_HOSTS_NAMED = 8
_MOST_MISSING_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A model file: `name` is the value of input `input` of a node of class `class_type`."""

    class_type: str
    input: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What a host must have to draw a graph.

    `model_set` is a short key; it is equal for graphs that need the same weights in memory.
    """

    model_set: str
    classes: frozenset[str] = frozenset()
    models: frozenset[ModelFile] = frozenset()


@dataclass(frozen=True, kw_only=True, order=True)
class Missing:
    """One thing that a host does not have: `code` is `node_missing` or `model_missing`."""

    code: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class HostCapabilities:
    """The node classes of a host, and the file names that their inputs accept.

    `names` is keyed by node class and input; each value maps a file name with slashes to the same
    name as the host spells it. A Windows host lists the files of subfolders with backslashes, and
    accepts that spelling only.
    """

    classes: frozenset[str]
    names: Mapping[tuple[str, str], Mapping[str, str]]

    @classmethod
    def read(cls, definitions: Mapping[str, Any]) -> Self:
        """Read the answer of a host's /object_info.

        Raises:
            ValueError: the answer holds no definition of a node class.
        """
        classes = frozenset(
            name
            for name, definition in definitions.items()
            if isinstance(definition, Mapping) and isinstance(definition.get("input"), Mapping)
        )
        if not classes:
            raise ValueError("no definitions of node classes")
        return cls(classes=classes, names=dict(_file_names(definitions, classes)))

    def missing(self, requirements: Requirements) -> tuple[Missing, ...]:
        """Return what the host lacks to draw this, sorted; empty if it can draw it.

        An input for which the host lists no names counts as present: custom loaders keep file
        names in objects of their own, and only the node itself can check those.
        """
        return tuple(
            sorted(
                [_missing_node(name) for name in requirements.classes - self.classes]
                + [_missing_model(file) for file in requirements.models if not self._has(file)]
            )
        )

    def with_host_paths(self, graph: Mapping[str, Any]) -> dict[str, Any]:
        """Return a graph in API format with its file names as this host spells them."""
        return {node_id: self._with_host_paths(node) for node_id, node in graph.items()}

    def _has(self, file: ModelFile) -> bool:
        names = self.names.get((file.class_type, file.input))
        return names is None or _with_slashes(file.name) in names

    def _with_host_paths(self, node: Mapping[str, Any]) -> dict[str, Any]:
        inputs = {
            name: self._host_value(node["class_type"], name, value)
            for name, value in node["inputs"].items()
        }
        return {**node, "inputs": inputs}

    def _host_value(self, class_type: str, input_name: str, value: Any) -> Any:
        names = self.names.get((class_type, input_name))
        # Only values with a slash or backslash are paths; other texts and settings stay unchanged.
        if names is None or not isinstance(value, str) or not {"/", "\\"} & set(value):
            return value
        return names.get(_with_slashes(value), value)


def nobody_can_draw(missing_by_host: Mapping[str, tuple[Missing, ...]]) -> NobodyCanDraw:
    """Return the error that names each host and what it lacks.

    Hosts that lack the same things are named together.
    """
    hosts_by_missing: dict[tuple[Missing, ...], list[str]] = {}
    for host, missing in missing_by_host.items():
        hosts_by_missing.setdefault(missing, []).append(host)
    parts = [f"{_hosts(hosts)}: {_sentences(each)}" for each, hosts in hosts_by_missing.items()]
    # A model file can be copied in a minute, a custom node must be installed: if both are missing,
    # the code names the node.
    codes = {each.code for missing in missing_by_host.values() for each in missing}
    code = "node_missing" if "node_missing" in codes else None
    return NobodyCanDraw(
        f"No host can draw this. {'; '.join(parts[:_MOST_HOSTS_NAMED])}", code=code
    )


def _file_names(
    definitions: Mapping[str, Any], classes: frozenset[str]
) -> Iterator[tuple[tuple[str, str], Mapping[str, str]]]:
    for class_type in classes:
        for section in definitions[class_type]["input"].values():
            if isinstance(section, Mapping):
                for name, spec in section.items():
                    if (choices := _choices(spec)) is not None:
                        yield (class_type, name), choices


def _choices(spec: Any) -> Mapping[str, str] | None:
    """Return the names of `[[names]]`, `[[names], {…}]` or `["COMBO", {"options": [names]}]`."""
    match spec:
        case [list(names), *_] | ["COMBO", {"options": list(names)}, *_]:
            return {_with_slashes(name): name for name in names if isinstance(name, str)}
        case _:
            return None


def _with_slashes(name: str) -> str:
    return name.replace("\\", "/")


def _missing_node(class_type: str) -> Missing:
    return Missing(code="node_missing", sentence=f"there is no node class {class_type}")


def _missing_model(file: ModelFile) -> Missing:
    return Missing(
        code="model_missing", sentence=f"{file.class_type} has no {file.input} {file.name!r}"
    )


def _hosts(names: list[str]) -> str:
    return ", ".join(names[:_MOST_HOSTS_NAMED]) + (", …" if len(names) > _MOST_HOSTS_NAMED else "")


def _sentences(missing: tuple[Missing, ...]) -> str:
    shown = ", ".join(each.sentence for each in missing[:_MOST_MISSING_NAMED])
    return shown + (", …" if len(missing) > _MOST_MISSING_NAMED else "")
