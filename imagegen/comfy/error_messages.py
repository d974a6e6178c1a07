"""A host's report of a refused or failed prompt → an error with one readable sentence; pure.

The forms of the reports were taken from recordings of servers 0.3.64 and 0.33
(tests/recordings/comfyui), from ComfyUI's source, and from error reports of its users for what a
machine without a GPU cannot show.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.comfy.errors import DrawingFailed, HostLacks, OutOfMemory, PromptRefused
from imagegen.comfy.events import Failed
from imagegen.comfy.redaction import redact

# Lengths in characters, of what a sentence may show.
_TITLE_LENGTH = 40
_NAME_LENGTH = 40
_TYPE_LENGTH = 60
_VALUE_LENGTH = 80
_MESSAGE_LENGTH = 160
# How many characters of a message are searched for signs of a lack of memory.
_SEARCHED_LENGTH = 1000
_MOST_CHOICES_NAMED = 5
_MOST_FAULTS_NAMED = 5

_MEMORY_TYPES = {"OutOfMemoryError", "MemoryError", "_ArrayMemoryError"}
# CUDA, ROCm, XPU and MPS say "out of memory" in one way or another; the other lines are
# cudaMallocAsync, MPS again, cuBLAS, DirectML, and the RAM of Linux, Windows and C++.
_MEMORY_WORDS = re.compile(
    r"""(?xi) out [ _]of[ _](?:host[ _]|device[ _])?memory
    | allocation\ on\ device
    | invalid\ buffer\ size
    | (?:cublas|cudnn)_status_alloc_failed
    | not\ enough\ (?:gpu\ )?(?:video\ )?memory
    | (?:can't|cannot|could\ not|unable\ to|failed\ to)\ allocate (?!\ memory\ in\ static)
    | bad_alloc"""
)
# Advice that ComfyUI adds to a message. Hosts without CUDA add it to any exception, so it is no
# sign of a lack of memory.
_ADVICE = re.compile(r"(?s)\s*(?:This error means you ran out of memory on your GPU|TIPS:).*")

_MODEL_FILE = re.compile(r"(?i)\.(?:safetensors|sft|gguf|ckpt|pth?|bin|onnx)$")
# Loaders also list names without the suffix of a file: taesd3, or the folder of a model.
_MODEL_INPUT = re.compile(r"_name\d*$")

# Error types of a node whose class the host does not know. New servers send the first also for a
# node without a class; old servers send the second for both cases.
_UNKNOWN_CLASS_TYPES = {"missing_node_type", "invalid_prompt"}


def read_failure(
    host: str, graph: Mapping[str, Any], failed: Failed
) -> DrawingFailed | OutOfMemory:
    """Return the error for a node of `graph` that raised an exception on `host`.

    The sentence names the node and the exception. It quotes the exception's message without
    tracebacks, paths of the host and texts of the graph; with an empty graph, whose texts are
    unknown, it does not quote the message at all.
    """
    message, exception = _ADVICE.sub("", failed.message), failed.exception_type
    quoted = redact(message, graph, at_most=_MESSAGE_LENGTH) if graph else ""
    node = title(graph, failed.node, failed.node_type)
    ending = f" on {host}: {quoted}" if quoted else f" on {host}"
    # Searched without the graph's texts: a prompt may contain the words "out of memory".
    if _is_out_of_memory(exception, redact(message, graph, at_most=_SEARCHED_LENGTH)):
        return OutOfMemory(f"{node} ran out of memory{ending}")
    return DrawingFailed(f"{node} raised {_shown_type(exception, graph)}{ending}")


def read_refusal(host: str, graph: Mapping[str, Any], body: Any) -> HostLacks | PromptRefused:
    """Return the error for a graph that a host refused wholly (HTTP 400) or in part (HTTP 200).

    HostLacks if all faults are model files or node classes that this host lacks, else
    PromptRefused. The sentence names node, input, value and allowed values, without texts of the
    graph and paths of the host.
    """
    answer = _mapping(body)
    faults = list(_input_faults(graph, _mapping(answer.get("node_errors"))))
    if not faults:
        faults = [_graph_fault(graph, answer.get("error"))]
    sentence = f"{host} refuses the graph: {_joined(faults)}"
    codes = {each.missing_code for each in faults}
    if codes <= {"model_missing", "node_missing"}:
        return HostLacks(
            sentence, code="node_missing" if "node_missing" in codes else "model_missing"
        )
    return PromptRefused(sentence)


def title(graph: Mapping[str, Any], node: str, node_type: str = "") -> str:
    """Return a node's title and class as far as graph or host know them, else its id."""
    name, kind = _title(graph, node), _node_class(graph, node)
    if not kind:
        kind = redact(node_type, graph, at_most=_TITLE_LENGTH)
    if name and kind and name != kind:
        return f"{_short(name)} ({_short(kind)})"
    return _short(name or kind or f"node {redact(node, graph, at_most=_TITLE_LENGTH)}")


def _title(graph: Mapping[str, Any], node: str) -> str:
    entry = graph.get(node)
    meta = entry.get("_meta") if isinstance(entry, Mapping) else None
    name = meta.get("title") if isinstance(meta, Mapping) else None
    return name.strip() if isinstance(name, str) else ""


def _node_class(graph: Mapping[str, Any], node: str) -> str:
    """Return the class that the graph gives a node, or an empty text."""
    entry = graph.get(node)
    kind = entry.get("class_type") if isinstance(entry, Mapping) else None
    return kind if isinstance(kind, str) else ""


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _TITLE_LENGTH else f"{name[: _TITLE_LENGTH - 1]}…"


def _is_out_of_memory(exception: str, message: str) -> bool:
    return exception.rpartition(".")[2] in _MEMORY_TYPES or bool(_MEMORY_WORDS.search(message))


def _shown_type(exception: str, graph: Mapping[str, Any]) -> str:
    is_name = re.fullmatch(rf"[\w.]{{1,{_TYPE_LENGTH}}}", exception) is not None
    is_unchanged = redact(exception, graph, at_most=_TYPE_LENGTH) == exception
    return exception if is_name and is_unchanged else "an exception"


@dataclass(frozen=True)
class _Fault:
    """One thing that the host found wrong.

    `missing_code` is the error code if only this host lacks something, None for any other fault.
    """

    sentence: str
    missing_code: str | None = None


def _input_faults(graph: Mapping[str, Any], node_errors: Mapping[str, Any]) -> Iterator[_Fault]:
    for node, entry in node_errors.items():
        kind = str(_mapping(entry).get("class_type", ""))
        errors = _mapping(entry).get("errors")
        for error in errors if isinstance(errors, list) else ():
            input_error = _InputError(graph, kind, _mapping(error))
            yield _Fault(
                f"{title(graph, str(node), kind)}: {input_error.sentence()}",
                "model_missing" if input_error.is_missing_file() else None,
            )


class _InputError:
    """What a host finds wrong with one input of a node of class `kind`."""

    def __init__(self, graph: Mapping[str, Any], kind: str, error: Mapping[str, Any]) -> None:
        extra = error.get("extra_info")
        self._graph = graph
        self._kind = kind
        self._error = error
        self._extra = extra if isinstance(extra, Mapping) else {}
        self._name = self._quote(str(self._extra.get("input_name") or ""), _NAME_LENGTH)
        self._received = self._extra.get("received_value")
        self._type, self._settings = _input_config(self._extra.get("input_config"))

    def is_missing_file(self) -> bool:
        """Whether a file is missing; an unknown sampler name is reported as a model file is."""
        if self._missing_image():
            return True
        if self._error.get("type") != "value_not_in_list" or not isinstance(self._received, str):
            return False
        allowed = self._allowed() or ()
        return any(_MODEL_FILE.search(name) for name in (self._received, *map(str, allowed))) or (
            "Loader" in self._kind and _MODEL_INPUT.search(self._name) is not None
        )

    def sentence(self) -> str:
        match self._error.get("type"):
            case _ if not self._name:
                return self._reason()
            case "value_not_in_list" | "custom_validation_failed" if self.is_missing_file():
                file = self._missing_image() or str(self._received)[:_VALUE_LENGTH]
                return f"{self._name} names {file}, which this host does not have"
            case "value_not_in_list":
                return f"{self._name} = {self._shown(self._received)}, {self._choices()}"
            case "value_bigger_than_max" | "value_smaller_than_min" if self._bounds():
                return f"{self._name} = {self._shown(self._received)}, may be {self._bounds()}"
            case "return_type_mismatch" if self._wrong_link():
                return self._wrong_link()
            case _ if "received_value" in self._extra:
                return f"{self._name} = {self._shown(self._received)}: {self._message()}"
            case _:
                return f"{self._name}: {self._reason()}"

    def _missing_image(self) -> str:
        """Return the file that LoadImage, which checks its files itself, did not find; else nothing."""
        file = str(self._error.get("details")).partition("Invalid image file: ")[2]
        return self._quote(file, _VALUE_LENGTH)

    def _reason(self) -> str:
        message, details = self._message(), str(self._error.get("details") or "")
        if exception := self._extra.get("exception_type"):
            details = f"{exception}: {details}"
        if details in ("", self._name, message):
            return message
        return f"{message} ({self._quote(details, _MESSAGE_LENGTH)})"

    def _message(self) -> str:
        message = self._error.get("message") or self._error.get("type") or "it does not say why"
        return self._quote(str(message), _MESSAGE_LENGTH)

    def _choices(self) -> str:
        allowed = self._allowed()
        if allowed is None:
            # Of a list with more than twenty values the host sends only the length.
            return "which is not in the host's list"
        named = ", ".join(
            self._quote(str(each), _VALUE_LENGTH) for each in allowed[:_MOST_CHOICES_NAMED]
        )
        more = ", …" if len(allowed) > _MOST_CHOICES_NAMED else ""
        return f"may be {named or 'nothing'}{more}"

    def _allowed(self) -> list[Any] | None:
        # Old nodes give the list in place of a type; new nodes give the type COMBO and options.
        allowed = self._type if isinstance(self._type, list) else self._settings.get("options")
        return allowed if isinstance(allowed, list) else None

    def _bounds(self) -> str:
        least, most = self._settings.get("min"), self._settings.get("max")
        if not all(isinstance(bound, int | float) for bound in (least, most)):
            return ""
        return f"{least} to {most}"

    def _wrong_link(self) -> str:
        linked, given = self._extra.get("linked_node"), self._extra.get("received_type")
        if not (isinstance(linked, list) and linked and isinstance(self._type, str)):
            return ""
        giver = title(self._graph, str(linked[0]))
        takes = self._quote(self._type, _VALUE_LENGTH)
        gives = self._quote(str(given), _VALUE_LENGTH)
        return f"{self._name} takes {takes}, and {giver} gives {gives}"

    def _shown(self, value: Any) -> str:
        if isinstance(value, str):
            return f"'{self._quote(value, _VALUE_LENGTH)}'"
        return self._quote(repr(value), _VALUE_LENGTH)

    def _quote(self, words: str, at_most: int) -> str:
        return redact(words, self._graph, at_most=at_most)


def _input_config(config: Any) -> tuple[Any, Mapping[str, Any]]:
    match config:
        case [type_, Mapping() as settings, *_]:
            return type_, settings
        case [type_, *_]:
            return type_, {}
        case _:
            return None, {}


def _graph_fault(graph: Mapping[str, Any], error: Any) -> _Fault:
    """Return the fault that concerns the whole graph or a node's class."""
    fields = _mapping(error)
    if str(fields.get("type")) in _UNKNOWN_CLASS_TYPES and (node := _node_id(fields)) is not None:
        kind = _node_class(graph, node)
        if kind:
            return _Fault(
                f"{title(graph, node)}: this host has no node {kind[:_TYPE_LENGTH]}", "node_missing"
            )
    reason = _reason(fields) if fields else error if isinstance(error, str) else ""
    return _Fault(redact(reason, graph, at_most=_MESSAGE_LENGTH) or "it does not say why")


def _node_id(error: Mapping[str, Any]) -> str | None:
    # Old servers give the id only inside a text: Node ID '#1'.
    in_text = re.search(r"#(.+?)'", str(error.get("details")))
    node = _mapping(error.get("extra_info")).get("node_id")
    return str(node) if node is not None else in_text[1] if in_text else None


def _reason(error: Mapping[str, Any]) -> str:
    message, details = (str(error.get(key) or "") for key in ("message", "details"))
    message = message or str(error.get("type") or "")
    return f"{message} ({details})" if details and details != message else message


def _joined(faults: list[_Fault]) -> str:
    named = "; ".join(dict.fromkeys(each.sentence for each in faults[:_MOST_FAULTS_NAMED]))
    more = len(faults) - _MOST_FAULTS_NAMED
    return f"{named}; and {more} more" if more > 0 else named


def _mapping(value: Any) -> Mapping[str, Any]:
    # A proxy before the host may refuse a request with a body of another form.
    return value if isinstance(value, Mapping) else {}
