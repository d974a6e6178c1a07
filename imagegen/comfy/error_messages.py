"""What a host says of a refused or failed prompt → one readable sentence; pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.comfy.errors import DrawingFailed, HostLacks, OutOfMemory, PromptRefused
from imagegen.comfy.events import Failed
from imagegen.comfy.redaction import redact

_TITLE_LENGTH = 40


def title(graph: Mapping[str, Any], node: str, node_type: str = "") -> str:
    """Return a node's title and class, as far as graph or host know them, else its id."""
    name, kind = _title(graph, node), node_class(graph, node) or node_type
    if name and kind and name != kind:
        return f"{_short(name)} ({_short(kind)})"
    return _short(name or kind or f"node {node}")


def node_class(graph: Mapping[str, Any], node: str) -> str:
    """Return the class that the graph gives a node, or nothing."""
    entry = graph.get(node)
    kind = entry.get("class_type") if isinstance(entry, Mapping) else None
    return kind if isinstance(kind, str) else ""


def _title(graph: Mapping[str, Any], node: str) -> str:
    entry = graph.get(node)
    meta = entry.get("_meta") if isinstance(entry, Mapping) else None
    name = meta.get("title") if isinstance(meta, Mapping) else None
    return name.strip() if isinstance(name, str) else ""


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _TITLE_LENGTH else f"{name[: _TITLE_LENGTH - 1]}…"


_MESSAGE_LENGTH = 160
_TYPE_LENGTH = 60
_JUDGED = 1000

_MEMORY_TYPES = {"OutOfMemoryError", "MemoryError", "_ArrayMemoryError"}
# CUDA, ROCm, XPU and MPS say "out of memory" in one way or another; the rest is cudaMallocAsync,
# MPS once more, cuBLAS, DirectML, and the RAM of Linux, Windows and C++.
_MEMORY_WORDS = re.compile(
    r"""(?xi) out [ _]of[ _](?:host[ _]|device[ _])?memory
    | allocation\ on\ device
    | invalid\ buffer\ size
    | (?:cublas|cudnn)_status_alloc_failed
    | not\ enough\ (?:gpu\ )?(?:video\ )?memory
    | (?:can't|cannot|could\ not|unable\ to|failed\ to)\ allocate (?!\ memory\ in\ static)
    | bad_alloc"""
)
# ComfyUI adds advice of its own. Hosts without CUDA give it for any exception: it proves nothing.
_ADVICE = re.compile(r"(?s)\s*(?:This error means you ran out of memory on your GPU|TIPS:).*")


def read_failure(
    host: str, graph: Mapping[str, Any], failed: Failed
) -> DrawingFailed | OutOfMemory:
    """Return the error for a node of `graph` that raised on `host`.

    The sentence names node and exception. It keeps the exception's words, but no traceback, no
    path of the host and nothing of the graph's texts.
    """
    message, exception = _ADVICE.sub("", failed.message), failed.exception_type
    # Without the graph nobody knows which of the words are the prompt's.
    said = redact(message, graph, at_most=_MESSAGE_LENGTH) if graph else ""
    node = title(graph, failed.node, failed.node_type)
    ending = f" on {host}: {said}" if said else f" on {host}"
    # Judged without the graph's texts, in which people may have run out of memory.
    if _is_out_of_memory(exception, redact(message, graph, at_most=_JUDGED)):
        return OutOfMemory(f"{node} ran out of memory{ending}")
    return DrawingFailed(f"{node} raised {_shown_type(exception)}{ending}")


def _is_out_of_memory(exception: str, said: str) -> bool:
    return exception.rpartition(".")[2] in _MEMORY_TYPES or bool(_MEMORY_WORDS.search(said))


def _shown_type(exception: str) -> str:
    return exception if re.fullmatch(rf"[\w.]{{1,{_TYPE_LENGTH}}}", exception) else "an exception"


_FILE = re.compile(r"(?i)\.(?:safetensors|sft|gguf|ckpt|pth?|bin|onnx)$")
# A name in a loader's list that ends like no file: taesd3, or the folder of a model.
_FILE_INPUT = re.compile(r"_name\d*$")
_LISTED = 5
_VALUE_LENGTH = 80
_FAULT_LENGTH = 160


@dataclass(frozen=True)
class InputFault:
    """One complaint; `lacks` is the code of what only this host may lack."""

    sentence: str
    lacks: str | None = None


def input_fault(
    graph: Mapping[str, Any], node: str, error: Mapping[str, Any], kind: str
) -> InputFault:
    """Return a complaint about a node of class `kind` as people may read it."""
    reading = _Reading(graph, kind, error)
    sentence = f"{title(graph, node, kind)}: {reading.sentence()}"
    return InputFault(sentence, "model_missing" if reading.lacks_file() else None)


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
                return f"{self._name} names {str(self._got)[:_VALUE_LENGTH]}, which this host does not have"
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
        return f"{message} ({self._quote(details, _FAULT_LENGTH)})"

    def _message(self) -> str:
        told = self._error.get("message") or self._error.get("type") or "it does not say why"
        return self._quote(str(told), _FAULT_LENGTH)

    def _choice(self) -> str:
        allowed = self._allowed()
        if allowed is None:
            # Of more than twenty the host says only how many they are.
            return "which is not in the host's list"
        told = ", ".join(self._quote(str(each), _VALUE_LENGTH) for each in allowed[:_LISTED])
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
        takes, gives = (
            self._quote(self._type, _VALUE_LENGTH),
            self._quote(str(given), _VALUE_LENGTH),
        )
        return f"{self._name} takes {takes}, and {giver} gives {gives}"

    def _shown(self, value: Any) -> str:
        return (
            f"'{self._quote(value, _VALUE_LENGTH)}'"
            if isinstance(value, str)
            else self._quote(repr(value), _VALUE_LENGTH)
        )

    def _quote(self, words: str, at_most: int) -> str:
        return redact(words, self._graph, at_most=at_most)


def _config(config: Any) -> tuple[Any, Mapping[str, Any]]:
    match config:
        case [type_, Mapping() as settings, *_]:
            return type_, settings
        case [type_, *_]:
            return type_, {}
        case _:
            return None, {}


# New servers use the first for a node without a class, too; old ones the second for both.
_NO_NODE = {"missing_node_type", "invalid_prompt"}
_FAULTS_NAMED = 5
_REASON_LENGTH = 160


def read_refusal(host: str, graph: Mapping[str, Any], body: Any) -> HostLacks | PromptRefused:
    """Return the error for a graph that a host refused, wholly (400) or in part (200).

    HostLacks if nothing is wrong but that this host has not some files or a node. The sentence
    names node, input, what it got and may be, without the graph's texts and paths of the host.
    """
    answer = _object(body)
    faults = list(_faults(graph, _object(answer.get("node_errors"))))
    if not faults:
        faults = [_whole(graph, answer.get("error"))]
    sentence = f"{host} refuses the graph: {_joined(faults)}"
    lacks = {each.lacks for each in faults}
    if lacks <= {"model_missing", "node_missing"}:
        return HostLacks(
            sentence, code="node_missing" if "node_missing" in lacks else "model_missing"
        )
    return PromptRefused(sentence)


def _object(value: Any) -> Mapping[str, Any]:
    # What stands between us and the host may refuse in a form of its own.
    return value if isinstance(value, Mapping) else {}


def _faults(graph: Mapping[str, Any], node_errors: Mapping[str, Any]) -> Iterator[InputFault]:
    for node, entry in node_errors.items():
        errors = _object(entry).get("errors")
        for error in errors if isinstance(errors, list) else ():
            yield input_fault(
                graph, str(node), _object(error), str(_object(entry).get("class_type", ""))
            )


def _whole(graph: Mapping[str, Any], error: Any) -> InputFault:
    told = _object(error)
    if str(told.get("type")) in _NO_NODE and (node := _node(told)) is not None:
        kind = node_class(graph, node)
        if kind:
            return InputFault(
                f"{title(graph, node)}: this host has no node {kind[:60]}", "node_missing"
            )
    reason = _reason(told) if told else error if isinstance(error, str) else ""
    return InputFault(redact(reason, graph, at_most=_REASON_LENGTH) or "it does not say why")


def _node(error: Mapping[str, Any]) -> str | None:
    # Old servers say it in words only: Node ID '#1'.
    named = re.search(r"#(.+?)'", str(error.get("details")))
    node = _object(error.get("extra_info")).get("node_id")
    return str(node) if node is not None else named[1] if named else None


def _reason(error: Mapping[str, Any]) -> str:
    message, details = (str(error.get(key) or "") for key in ("message", "details"))
    message = message or str(error.get("type") or "")
    return f"{message} ({details})" if details and details != message else message


def _joined(faults: list[InputFault]) -> str:
    told = "; ".join(dict.fromkeys(each.sentence for each in faults[:_FAULTS_NAMED]))
    more = len(faults) - _FAULTS_NAMED
    return f"{told}; and {more} more" if more > 0 else told
