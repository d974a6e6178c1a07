"""Whether a plain input value will do, and what it becomes."""

from typing import Any

Complaint = dict[str, Any]

# Longer lists are not spelled out in a refusal.
_LONGEST_LIST_TOLD = 20


def checked(
    name: str, value: Any, type_: Any, settings: dict[str, Any]
) -> tuple[Any, list[Complaint]]:
    """Convert a value as its input asks, and list what is wrong with it."""
    facts = {"input_name": name, "input_config": [type_, settings], "received_value": value}
    try:
        value = _converted(value, type_)
    except (TypeError, ValueError) as problem:
        return value, [_unconvertible(name, value, type_, facts, problem)]
    facts["received_value"] = value
    options = type_ if isinstance(type_, list) else settings.get("options")
    if options is not None:
        return value, _unlisted(name, value, options, facts)
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
    name: str, value: Any, type_: Any, facts: dict[str, Any], problem: Exception
) -> Complaint:
    return {
        "type": "invalid_input_type",
        "message": f"Failed to convert an input value to a {type_} value",
        "details": f"{name}, {value}, {problem}",
        "extra_info": {**facts, "exception_message": str(problem)},
    }


def no_such_image(name: str, value: Any) -> Complaint:
    """Complain about a picture that was not uploaded."""
    return {
        "type": "custom_validation_failed",
        "message": "Custom validation failed for node",
        "details": f"{name} - Invalid image file: {value}",
        "extra_info": {"input_name": name},
    }


def _unlisted(name: str, value: Any, options: list[Any], facts: dict[str, Any]) -> list[Complaint]:
    if value in options:
        return []
    told: Any = options
    if len(options) > _LONGEST_LIST_TOLD:
        told = f"(list of length {len(options)})"
        facts = {**facts, "input_config": None}
    return [
        {
            "type": "value_not_in_list",
            "message": "Value not in list",
            "details": f"{name}: '{value}' not in {told}",
            "extra_info": facts,
        }
    ]


def _out_of_range(
    name: str, value: Any, settings: dict[str, Any], facts: dict[str, Any]
) -> list[Complaint]:
    if "min" in settings and value < settings["min"]:
        type_, problem = "value_smaller_than_min", f"smaller than min of {settings['min']}"
    elif "max" in settings and value > settings["max"]:
        type_, problem = "value_bigger_than_max", f"bigger than max of {settings['max']}"
    else:
        return []
    message = f"Value {value} {problem}"
    return [{"type": type_, "message": message, "details": name, "extra_info": facts}]
