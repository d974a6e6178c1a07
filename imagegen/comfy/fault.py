"""What a host finds wrong with one input of a graph → one part of a sentence; pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.comfy.quote import quote
from imagegen.comfy.title import title

_FILE = re.compile(r"(?i)\.(?:safetensors|sft|gguf|ckpt|pth?|bin|onnx)$")
# A name in a loader's list that ends like no file: taesd3, or the folder of a model.
_FILE_INPUT = re.compile(r"_name\d*$")
_LISTED = 5
_SHOWN = 80
_TOLD = 160


@dataclass(frozen=True)
class Fault:
    """One complaint; `lacks` is the code of what only this host may lack."""

    sentence: str
    lacks: str | None = None


def fault(graph: Mapping[str, Any], node: str, error: Mapping[str, Any], kind: str) -> Fault:
    """Return a complaint about a node of class `kind` as people may read it."""
    reading = _Reading(graph, kind, error)
    sentence = f"{title(graph, node, kind)}: {reading.sentence()}"
    return Fault(sentence, "model_missing" if reading.lacks_file() else None)


class _Reading:
    def __init__(self, graph: Mapping[str, Any], kind: str, error: Mapping[str, Any]) -> None:
        extra = error.get("extra_info")
        self._graph = graph
        self._kind = kind
        self._error = error
        self._extra = extra if isinstance(extra, Mapping) else {}
        self._name = self._quote(str(self._extra.get("input_name") or ""), 40)
        self._got = self._extra.get("received_value")
        self._type, self._settings = _config(self._extra.get("input_config"))

    def lacks_file(self) -> bool:
        """Tell a missing file from an unknown sampler: both are values that are not in a list."""
        if self._error.get("type") != "value_not_in_list" or not isinstance(self._got, str):
            return False
        allowed = self._allowed() or ()
        return any(_FILE.search(name) for name in (self._got, *map(str, allowed))) or (
            "Loader" in self._kind and _FILE_INPUT.search(self._name) is not None
        )

    def sentence(self) -> str:
        match self._error.get("type"):
            case _ if not self._name:
                return self._reason()
            case "value_not_in_list" if self.lacks_file():
                return (
                    f"{self._name} names {str(self._got)[:_SHOWN]}, which this host does not have"
                )
            case "value_not_in_list":
                return f"{self._name} = {self._shown(self._got)}, {self._choice()}"
            case "value_bigger_than_max" | "value_smaller_than_min" if self._bounds():
                return f"{self._name} = {self._shown(self._got)}, may be {self._bounds()}"
            case "return_type_mismatch" if self._link():
                return self._link()
            case _ if "received_value" in self._extra:
                return f"{self._name} = {self._shown(self._got)}: {self._message()}"
            case _:
                return f"{self._name}: {self._reason()}"

    def _reason(self) -> str:
        message, details = self._message(), str(self._error.get("details") or "")
        if exception := self._extra.get("exception_type"):
            details = f"{exception}: {details}"
        if details in ("", self._name, message):
            return message
        return f"{message} ({self._quote(details, _TOLD)})"

    def _message(self) -> str:
        told = self._error.get("message") or self._error.get("type") or "it does not say why"
        return self._quote(str(told), _TOLD)

    def _choice(self) -> str:
        allowed = self._allowed()
        if allowed is None:
            # Of more than twenty the host says only how many they are.
            return "which is not in the host's list"
        told = ", ".join(self._quote(str(each), _SHOWN) for each in allowed[:_LISTED])
        return f"may be {told or 'nothing'}" + (", …" if len(allowed) > _LISTED else "")

    def _allowed(self) -> list[Any] | None:
        # Old nodes give the list where others give a type; new ones say COMBO and give options.
        allowed = self._type if isinstance(self._type, list) else self._settings.get("options")
        return allowed if isinstance(allowed, list) else None

    def _bounds(self) -> str:
        least, most = self._settings.get("min"), self._settings.get("max")
        if not all(isinstance(bound, int | float) for bound in (least, most)):
            return ""
        return f"{least} to {most}"

    def _link(self) -> str:
        linked, given = self._extra.get("linked_node"), self._extra.get("received_type")
        if not (isinstance(linked, list) and linked and isinstance(self._type, str)):
            return ""
        giver = title(self._graph, str(linked[0]))
        takes, gives = self._quote(self._type, _SHOWN), self._quote(str(given), _SHOWN)
        return f"{self._name} takes {takes}, and {giver} gives {gives}"

    def _shown(self, value: Any) -> str:
        return (
            f"'{self._quote(value, _SHOWN)}'"
            if isinstance(value, str)
            else self._quote(repr(value), _SHOWN)
        )

    def _quote(self, words: str, at_most: int) -> str:
        return quote(words, self._graph, at_most=at_most)


def _config(config: Any) -> tuple[Any, Mapping[str, Any]]:
    match config:
        case [type_, Mapping() as settings, *_]:
            return type_, settings
        case [type_, *_]:
            return type_, {}
        case _:
            return None, {}
