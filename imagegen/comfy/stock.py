"""What a host has, and what a graph needs of it; pure."""

from dataclasses import dataclass


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
