"""The checks of a real server before it queues a prompt, with its error messages."""

from dataclasses import dataclass, field
from typing import Any

from imagegen.sandbox.comfyui.execution.files import ImageFolders
from imagegen.sandbox.comfyui.execution.image_nodes import find_input_image
from imagegen.sandbox.comfyui.execution.node_definitions import NodeDefinitions
from imagegen.sandbox.comfyui.execution.node_order import Graph
from imagegen.sandbox.comfyui.versions import Version

InputError = dict[str, Any]


# Longer lists are not written out in an error message.
_LONGEST_LIST_SHOWN = 20


class BrokenRequestError(Exception):
    """A request on which a real server's handler fails: 500 without an explanation."""


@dataclass(frozen=True, kw_only=True)
class PromptValidation:
    """The result: `error` is None if the prompt is queued, `outputs` are the output nodes that run.

    `node_errors` may be set in both cases: a prompt with one bad output runs the other ones.
    """

    error: dict[str, Any] | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


def validate_prompt(
    graph: Any, definitions: NodeDefinitions, version: Version, files: ImageFolders
) -> PromptValidation:
    """Validate a graph as the server of that `version` does.

    Numbers given as text are replaced by numbers in `graph` itself, as on a real server.

    Raises:
        BrokenRequestError: a real server's handler fails on this graph.
    """
    if version.breaks_on_lists and isinstance(graph, list):
        raise BrokenRequestError
    if graph in ({}, []):
        return _without_outputs()
    if not isinstance(graph, dict) or not all(isinstance(node, dict) for node in graph.values()):
        raise BrokenRequestError
    for node in graph:
        if error := _class_error(graph, node, definitions, version):
            return PromptValidation(error=error)
    outputs = [node for node in graph if definitions.is_output(graph[node]["class_type"])]
    if not outputs:
        return _without_outputs()
    return _Validator(graph, definitions, version, files).validate(outputs)


def _without_outputs() -> PromptValidation:
    return PromptValidation(error=_error("prompt_no_outputs", "Prompt has no outputs"))


def _error(type_: str, message: str, details: str = "", **facts: Any) -> dict[str, Any]:
    return {"type": type_, "message": message, "details": details, "extra_info": facts}


def _class_error(
    graph: Graph, node: str, definitions: NodeDefinitions, version: Version
) -> dict[str, Any] | None:
    class_type = graph[node].get("class_type")
    if class_type in definitions:
        return None
    details = f"Node ID '#{node}'"
    if not version.names_missing_nodes:
        if class_type is None:
            message = "Cannot execute because a node is missing the class_type property."
        else:
            message = f"Cannot execute because node {class_type} does not exist."
        return _error("invalid_prompt", message, details)
    title = (graph[node].get("_meta") or {}).get("title", class_type)
    if class_type is None:
        shown = title or f"ID #{node}"
        message = (
            f"Node '{shown}' has no class_type."
            " The workflow may be corrupted or a custom node is missing."
        )
    else:
        message = f"Node '{title}' not found. The custom node may not be installed."
    facts = {"node_id": node, "class_type": class_type, "node_title": title}
    return _error("missing_node_type", message, details, **facts)


class _Validator:
    """Walks from each output upwards and collects the errors of each node."""

    def __init__(
        self, graph: Graph, definitions: NodeDefinitions, version: Version, files: ImageFolders
    ) -> None:
        self._graph = graph
        self._files = files
        self._definitions = definitions
        self._version = version
        self._errors: dict[str, list[InputError]] = {}
        self._is_valid: dict[str, bool] = {}
        self._path: list[str] = []

    def validate(self, outputs: list[str]) -> PromptValidation:
        node_errors: dict[str, Any] = {}
        bad = [output for output in outputs if not self._check_output(output, node_errors)]
        good = [output for output in outputs if output not in bad]
        if not self._version.keeps_output_order:
            good.reverse()
        if good:
            return PromptValidation(outputs=good, node_errors=node_errors)
        details = "\n".join(
            f"{error['message']}: {error['details']}"
            for output in bad
            for error in self._errors[output]
        )
        message = "Prompt outputs failed validation"
        error = _error("prompt_outputs_failed_validation", message, details)
        return PromptValidation(error=error, node_errors=node_errors)

    def _check_output(self, output: str, node_errors: dict[str, Any]) -> bool:
        try:
            is_valid = self._check(output)
        except _CycleError as cycle:
            self._add_cycle_errors(cycle)
            is_valid = False
        except (KeyError, IndexError) as error:
            self._add_errors(output, [_exception("exception_during_validation", error)])
            is_valid = False
        self._path.clear()
        if not is_valid:
            self._errors.setdefault(output, [])
            self._report(output, node_errors)
        return is_valid

    def _report(self, output: str, node_errors: dict[str, Any]) -> None:
        # A node that depends on an invalid one is invalid too, but only nodes with errors of their own
        # are reported.
        for node, errors in self._errors.items():
            if errors:
                entry = {"errors": errors, "dependent_outputs": []}
                entry["class_type"] = self._graph[node]["class_type"]
                node_errors.setdefault(node, entry)["dependent_outputs"].append(output)

    def _check(self, node: str) -> bool:
        if node in self._is_valid:
            return self._is_valid[node]
        if node in self._path:
            raise _CycleError(self._path[self._path.index(node) :])
        self._path.append(node)
        errors, sources_are_valid = self._check_inputs(node)
        self._path.remove(node)
        self._add_errors(node, errors)
        self._is_valid[node] = sources_are_valid and not errors
        return self._is_valid[node]

    def _check_inputs(self, node: str) -> tuple[list[InputError], bool]:
        given = self._graph[node]["inputs"]
        class_type = self._graph[node]["class_type"]
        errors: list[InputError] = []
        sources_are_valid = True
        for name, (type_, settings, is_required) in self._definitions.inputs(class_type).items():
            if name not in given:
                errors += _missing(name) if is_required else []
            elif isinstance(given[name], list):
                link_errors, is_valid = self._check_link(given[name], name, type_, settings)
                errors += link_errors
                sources_are_valid = sources_are_valid and is_valid
            else:
                given[name], value_errors = self._checked(name, given[name], type_, settings)
                errors += value_errors
        return errors, sources_are_valid

    def _checked(
        self, name: str, value: Any, type_: Any, settings: dict[str, Any]
    ) -> tuple[Any, list[InputError]]:
        if settings.get("image_upload"):
            is_there = find_input_image(self._files, value) is not None
            return value, [] if is_there else [no_such_image(name, value)]
        return checked_value(name, value, type_, settings)

    def _check_link(
        self, link: list[Any], name: str, type_: Any, settings: dict[str, Any]
    ) -> tuple[list[InputError], bool]:
        facts = {"input_name": name, "input_config": [type_, settings]}
        if len(link) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            return [_error("bad_linked_input", message, name, **facts, received_value=link)], False
        source, slot = link
        received = _slot(self._definitions.outputs(self._graph[source]["class_type"]), slot)
        if not _fits(received, type_):
            details = f"{name}, received_type({received}) mismatch input_type({type_})"
            message = "Return type mismatch between linked nodes"
            facts |= {"received_type": received, "linked_node": link}
            return [_error("return_type_mismatch", message, details, **facts)], False
        return [], self._check_source(source, link, facts)

    def _check_source(self, source: str, link: list[Any], facts: dict[str, Any]) -> bool:
        try:
            return self._check(source)
        except (KeyError, IndexError) as error:
            type_ = "exception_during_inner_validation"
            shown = {**facts, "exception_message": str(error), "linked_node": link}
            self._path.remove(source)
            self._add_errors(source, [_exception(type_, error, inner=" inner", **shown)])
            self._is_valid[source] = False
            return False

    def _add_errors(self, node: str, errors: list[InputError]) -> None:
        self._errors.setdefault(node, []).extend(errors)

    def _add_cycle_errors(self, cycle: "_CycleError") -> None:
        if not self._version.explains_cycles:
            return
        cycle_path = [*cycle.nodes, cycle.nodes[0]]
        details = " -> ".join(f"{node} ({self._graph[node]['class_type']})" for node in cycle_path)
        for node in cycle.nodes:
            facts = {"node_id": node, "cycle_nodes": cycle.nodes}
            message = "Dependency cycle detected"
            self._add_errors(node, [_error("dependency_cycle", message, details, **facts)])


class _CycleError(Exception):
    def __init__(self, nodes: list[str]) -> None:
        super().__init__(nodes)
        self.nodes = nodes


def _missing(name: str) -> list[InputError]:
    message = "Required input is missing"
    return [_error("required_input_missing", message, name, input_name=name)]


def _slot(outputs: list[str], slot: Any) -> str:
    if not -len(outputs) <= slot < len(outputs):
        raise IndexError("tuple index out of range")
    return str(outputs[slot])


def _fits(received: str, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return received in ("*", "COMBO")
    return wanted == "*" or received == "*" or received in wanted.split(",")


def _exception(type_: str, error: Exception, inner: str = "", **facts: Any) -> InputError:
    facts |= {"exception_type": type(error).__name__, "traceback": []}
    return _error(type_, f"Exception when validating{inner} node", str(error), **facts)


def no_such_image(name: str, value: Any) -> InputError:
    """Return the error for an image that was not uploaded."""
    return {
        "type": "custom_validation_failed",
        "message": "Custom validation failed for node",
        "details": f"{name} - Invalid image file: {value}",
        "extra_info": {"input_name": name},
    }


def checked_value(
    name: str, value: Any, type_: Any, settings: dict[str, Any]
) -> tuple[Any, list[InputError]]:
    """Convert a value to its input's type; return it with the errors found."""
    facts = {"input_name": name, "input_config": [type_, settings], "received_value": value}
    try:
        value = _converted(value, type_)
    except (TypeError, ValueError) as error:
        return value, [_unconvertible(name, value, type_, facts, error)]
    facts["received_value"] = value
    options = type_ if isinstance(type_, list) else settings.get("options")
    if options is not None:
        return value, _not_in_list(name, value, options, facts)
    return value, _out_of_range(name, value, settings, facts)


def _converted(value: Any, type_: Any) -> Any:
    match type_:
        case "INT":
            return int(value)
        case "FLOAT":
            return float(value)
        case "STRING":
            return str(value)
        case "BOOLEAN":
            return bool(value)
        case _:
            return value


def _unconvertible(
    name: str, value: Any, type_: Any, facts: dict[str, Any], error: Exception
) -> InputError:
    return {
        "type": "invalid_input_type",
        "message": f"Failed to convert an input value to a {type_} value",
        "details": f"{name}, {value}, {error}",
        "extra_info": {**facts, "exception_message": str(error)},
    }


def _not_in_list(
    name: str, value: Any, options: list[Any], facts: dict[str, Any]
) -> list[InputError]:
    if value in options:
        return []
    shown: Any = options
    if len(options) > _LONGEST_LIST_SHOWN:
        shown = f"(list of length {len(options)})"
        facts = {**facts, "input_config": None}
    return [
        {
            "type": "value_not_in_list",
            "message": "Value not in list",
            "details": f"{name}: '{value}' not in {shown}",
            "extra_info": facts,
        }
    ]


def _out_of_range(
    name: str, value: Any, settings: dict[str, Any], facts: dict[str, Any]
) -> list[InputError]:
    if "min" in settings and value < settings["min"]:
        type_, comparison = "value_smaller_than_min", f"smaller than min of {settings['min']}"
    elif "max" in settings and value > settings["max"]:
        type_, comparison = "value_bigger_than_max", f"bigger than max of {settings['max']}"
    else:
        return []
    message = f"Value {value} {comparison}"
    return [{"type": type_, "message": message, "details": name, "extra_info": facts}]
