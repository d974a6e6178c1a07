"""What a host has, what a graph needs of it, and the sentence for what no host has; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from imagegen.comfy.errors import NobodyCanDraw


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A file that input `input` of a node of class `class_type` asks for."""

    class_type: str
    input: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What a host must have to draw a graph; `model_set` is equal for the same weights."""

    model_set: str
    classes: frozenset[str] = frozenset()
    models: frozenset[ModelFile] = frozenset()


@dataclass(frozen=True, kw_only=True, order=True)
class Missing:
    """One thing that a host has not: `code` is `node_missing` or `model_missing`."""

    code: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class HostCapabilities:
    """The node classes of a host, and by class and input the names that it may be given.

    Names stand by their spelling with slashes: a Windows host lists them with backslashes, where
    they have a folder, and takes that spelling only.
    """

    classes: frozenset[str]
    names: Mapping[tuple[str, str], Mapping[str, str]]

    @classmethod
    def read(cls, definitions: Mapping[str, Any]) -> Self:
        """Read the answer of a host's /object_info. Raises ValueError if it is none."""
        classes = frozenset(
            name
            for name, definition in definitions.items()
            if isinstance(definition, Mapping) and isinstance(definition.get("input"), Mapping)
        )
        if not classes:
            raise ValueError("no definitions of node classes")
        return cls(classes=classes, names=dict(_lists(definitions, classes)))

    def missing(self, needs: Requirements) -> tuple[Missing, ...]:
        """Say what is missing to draw this, sorted; nothing if the host can.

        An input that the definitions say nothing of is no lack: custom loaders keep files in
        objects of their own, of which only the node itself knows more.
        """
        return tuple(
            sorted(
                [_missing_node(name) for name in needs.classes - self.classes]
                + [_missing_model(file) for file in needs.models if not self._has(file)]
            )
        )

    def with_host_paths(self, graph: Mapping[str, Any]) -> dict[str, Any]:
        """Give a graph as posted, with file names in the spelling of this host."""
        return {node_id: self._spelled(node) for node_id, node in graph.items()}

    def _has(self, file: ModelFile) -> bool:
        names = self.names.get((file.class_type, file.input))
        return names is None or _slashed(file.name) in names

    def _spelled(self, node: Mapping[str, Any]) -> dict[str, Any]:
        inputs = {
            name: self._name(node["class_type"], name, value)
            for name, value in node["inputs"].items()
        }
        return {**node, "inputs": inputs}

    def _name(self, class_type: str, name: str, value: Any) -> Any:
        names = self.names.get((class_type, name))
        # Only what was meant as a path is spelled anew: prompts and settings stay as they are.
        if names is None or not isinstance(value, str) or not {"/", "\\"} & set(value):
            return value
        return names.get(_slashed(value), value)


def _lists(
    definitions: Mapping[str, Any], classes: frozenset[str]
) -> Iterator[tuple[tuple[str, str], Mapping[str, str]]]:
    for class_type in classes:
        for section in definitions[class_type]["input"].values():
            if isinstance(section, Mapping):
                for name, spec in section.items():
                    if (choices := _choices(spec)) is not None:
                        yield (class_type, name), choices


def _choices(spec: Any) -> Mapping[str, str] | None:
    """Give the names of `[[names]]`, `[[names], {…}]` or `["COMBO", {"options": [names]}]`."""
    match spec:
        case [list(names), *_] | ["COMBO", {"options": list(names)}, *_]:
            return {_slashed(name): name for name in names if isinstance(name, str)}
        case _:
            return None


def _slashed(name: str) -> str:
    return name.replace("\\", "/")


def _missing_node(class_type: str) -> Missing:
    return Missing(code="node_missing", sentence=f"there is no node class {class_type}")


def _missing_model(file: ModelFile) -> Missing:
    return Missing(
        code="model_missing", sentence=f"{file.class_type} has no {file.input} {file.name!r}"
    )


_HOSTS_NAMED = 8
_LACKS_NAMED = 5


def nobody_can_draw(lacks: Mapping[str, tuple[Missing, ...]]) -> NobodyCanDraw:
    """Say which host lacks what; hosts that lack the same are named together."""
    hosts_by_lacks: dict[tuple[Missing, ...], list[str]] = {}
    for host, missing in lacks.items():
        hosts_by_lacks.setdefault(missing, []).append(host)
    parts = [f"{_hosts(hosts)}: {_what(missing)}" for missing, hosts in hosts_by_lacks.items()]
    # A file is put in place in a minute, a custom node is not: the harder thing is the code.
    codes = {lack.code for missing in lacks.values() for lack in missing}
    code = "node_missing" if "node_missing" in codes else None
    return NobodyCanDraw(f"No host can draw this. {'; '.join(parts[:_HOSTS_NAMED])}", code=code)


def _hosts(names: list[str]) -> str:
    return ", ".join(names[:_HOSTS_NAMED]) + (", …" if len(names) > _HOSTS_NAMED else "")


def _what(missing: tuple[Missing, ...]) -> str:
    shown = ", ".join(lack.sentence for lack in missing[:_LACKS_NAMED])
    return shown + (", …" if len(missing) > _LACKS_NAMED else "")
