"""What a host has, and what a graph needs of it; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A file that input `input` of a node of class `class_type` asks for."""

    class_type: str
    input: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a host must have to draw a graph; `model_set` is equal for the same weights."""

    model_set: str
    classes: frozenset[str] = frozenset()
    models: frozenset[ModelFile] = frozenset()


@dataclass(frozen=True, kw_only=True, order=True)
class Lack:
    """One thing that a host has not: `code` is `node_missing` or `model_missing`."""

    code: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Stock:
    r"""The node classes of a host, and by class and input the names that it may be given.

    Names stand by their spelling with slashes: a Windows host lists `zit\una.safetensors` for
    what others call `zit/una.safetensors`, and takes its own spelling only.
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

    def lacks(self, needs: Needs) -> tuple[Lack, ...]:
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

    def _has(self, file: ModelFile) -> bool:
        names = self.names.get((file.class_type, file.input))
        return names is None or _slashed(file.name) in names


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


def _missing_node(class_type: str) -> Lack:
    return Lack(code="node_missing", sentence=f"there is no node class {class_type}")


def _missing_model(file: ModelFile) -> Lack:
    return Lack(
        code="model_missing", sentence=f"{file.class_type} has no {file.input} {file.name!r}"
    )
