"""docs/reference.md matches the code: names, signatures, exceptions, fields, time limits."""

import enum
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

import chatflow_hook
from chatflow_hook import (
    Button,
    ButtonAnswer,
    ChatFlowHook,
    DatabaseFault,
    Forgotten,
    Limited,
    LimitedMessage,
    Message,
    NothingToVary,
    Picture,
    Rating,
    Request,
    RequestEnd,
    SentPhoto,
    StoppedDraft,
    Turn,
    database,
    ends,
    hook,
    queue,
    statement_deadline,
    turn,
    turn_recorder,
    waiting,
)
from chatflow_hook.ends import EndTimes
from chatflow_hook.outbox import DialogUnknownError
from chatflow_hook.settings import BadSetting
from chatflow_hook.tables import State

PAGE = (Path(__file__).parents[3] / "docs" / "reference.md").read_text()
SECTIONS: Mapping[str, str] = dict(
    re.findall(r"^### `([\w.]+)`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
)

METHODS: dict[str, Any] = {
    f"hook.{name}": getattr(ChatFlowHook, name)
    for name in vars(ChatFlowHook)
    if not name.startswith("_")
}
NAMES: dict[str, Any] = {name: getattr(chatflow_hook, name) for name in chatflow_hook.__all__}
MODELS: tuple[type[BaseModel], ...] = (Turn, Message)
RECORDS = (
    Request,
    ButtonAnswer,
    Picture,
    RequestEnd,
    Limited,
    LimitedMessage,
    Forgotten,
    SentPhoto,
    StoppedDraft,
)
WITH_SIGNATURE: dict[str, Any] = METHODS | {"ChatFlowHook": ChatFlowHook}


def the_block(section: str) -> str:
    (block,) = re.findall(r"^```python\n(.*?)\n```$", SECTIONS[section], re.MULTILINE | re.DOTALL)
    return str(block)


def rows(text: str, first: str) -> list[list[str]]:
    """Give the cells of the table whose header begins with `first`, without backticks."""
    _, _, table = text.partition(f"| {first} |")
    lines = table.partition("\n\n")[0].splitlines()[2:]
    return [
        [cell.strip().strip("`").replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
    ]


def in_short(annotation: Any) -> str:
    """Spell a type as the page does: without modules, and `X | None`."""
    is_class = isinstance(annotation, type) and get_origin(annotation) is None
    spelled = annotation.__name__ if is_class else str(annotation)
    without_modules = re.sub(r"\b(?:[a-zA-Z_]\w*\.)+(?=\w)", "", spelled)
    without_optional = re.sub(r"Optional\[(\w+)\]", r"\1 | None", without_modules)
    return re.sub(r"Union\[((?:[^\[\]]|\[\w+\])*)\]", _with_bars, without_optional)


def _with_bars(union: re.Match[str]) -> str:
    return union[1].replace(", ", " | ").replace("NoneType", "None")


def signature(name: str, of: Any) -> str:
    spelled = in_short(inspect.signature(of)).replace("(self, ", "(").replace("(self)", "()")
    if isinstance(of, type):
        return name + spelled.removesuffix(" -> None")
    kind = "async def" if inspect.iscoroutinefunction(of) else "def"
    return f"{kind} {name.removeprefix('hook.')}{spelled}"


def raises(docstring: str | None) -> set[str]:
    """Give the exceptions that a docstring names under `Raises:`."""
    _, _, section = inspect.cleandoc(docstring or "").partition("\nRaises:\n")
    return set(re.findall(r"^    (\w+):", section, re.MULTILINE))


def on_the_page(section: str) -> set[str]:
    return set(re.findall(r"^  - `(\w+)`:", SECTIONS[section], re.MULTILINE))


def fields_of(kind: type[Any]) -> list[tuple[str, ...]]:
    """Return the name and type of each field, and its default where it has one."""
    hints = {name: in_short(hint) for name, hint in get_type_hints(kind).items()}
    if is_dataclass(kind):
        assert {field.default for field in fields(kind)} <= {MISSING, None}
        return [(field.name, hints[field.name]) for field in fields(kind)]
    return [
        (name, hints[name], "must be given" if field.is_required() else str(field.default))
        for name, field in kind.model_fields.items()
    ]


def cut(table: Iterable[list[str]], width: int) -> list[tuple[str, ...]]:
    return [tuple(row[:width]) for row in table]


def test_every_name_and_every_method_is_on_the_page_and_no_other() -> None:
    assert sorted(SECTIONS) == sorted([*NAMES, *METHODS])


@pytest.mark.parametrize("name", WITH_SIGNATURE)
def test_a_signature_is_that_of_the_code(name: str) -> None:
    assert the_block(name) == signature(name, WITH_SIGNATURE[name])


@pytest.mark.parametrize("name", METHODS)
def test_a_method_raises_what_its_docstring_says(name: str) -> None:
    documented = raises(inspect.getdoc(METHODS[name]))

    assert on_the_page(name) == documented
    assert ("**Raises** nothing." in SECTIONS[name]) == (not documented)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_answers_the_questions_of_a_caller(name: str) -> None:
    asked = set(re.findall(r"^- \*\*([\w ]+)\*\*", SECTIONS[name], re.MULTILINE))
    of_all = {"Returns", "Raises", "Network", "Called again"}

    needed = of_all | {"Time", "Cancelled"} if name != "hook.from_env" else of_all
    assert needed <= asked


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_raises_what_its_docstring_says(model: type[BaseModel]) -> None:
    assert on_the_page(model.__name__) == raises(model.__doc__) == {"ValidationError"}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_the_fields_of_a_model_are_those_of_the_code(model: type[BaseModel]) -> None:
    assert cut(rows(SECTIONS[model.__name__], "field"), 3) == fields_of(model)


def test_the_line_of_a_turn_shows_the_fields_that_must_be_given() -> None:
    required = [
        f"{name}: {kind}" for name, kind, left_out in fields_of(Turn) if "given" in left_out
    ]

    assert the_block("Turn") == f"Turn(*, {', '.join(required)}, ...)"


def test_the_line_of_a_message_shows_its_fields() -> None:
    shown = ", ".join(f"{name}: {kind}" for name, kind, _ in fields_of(Message))

    assert the_block("Message") == f"Message(*, {shown})"


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_the_fields_of_a_record_are_those_of_the_code(record: type[Any]) -> None:
    assert cut(rows(SECTIONS[record.__name__], "field"), 2) == fields_of(record)


@pytest.mark.parametrize(
    ("section", "first", "values"),
    [("Rating", "value", Rating), ("Button", "value", Button), ("Picture", "state", State)],
)
def test_the_values_of_an_enum_are_those_of_the_code(
    section: str, first: str, values: type[enum.StrEnum]
) -> None:
    assert [value for value, *_ in rows(SECTIONS[section], first)] == list(values)


def test_which_states_are_open_is_as_in_the_code() -> None:
    told = {state: is_open == "yes" for state, is_open, _ in rows(SECTIONS["Picture"], "state")}

    assert told == {state: state.is_open for state in State}


@pytest.mark.parametrize("error", [DatabaseFault, NothingToVary], ids=lambda error: error.__name__)
def test_what_an_exception_is_stands_on_the_page(error: type[Exception]) -> None:
    (base,) = re.findall(r"It is an? `(\w+)`\.", SECTIONS[error.__name__])

    assert base == error.__mro__[1].__name__


def test_the_exceptions_that_are_not_handed_out_are_named_with_their_base() -> None:
    told = {(name, base) for name, base, _ in rows(PAGE, "exception")}

    assert told == {
        (f"{error.__module__}.{error.__name__}", error.__mro__[1].__name__)
        for error in (BadSetting, DialogUnknownError)
    }


def test_who_raises_an_exception_that_is_not_handed_out_is_told() -> None:
    told = {name.rpartition(".")[2]: by for name, _, by in rows(PAGE, "exception")}

    assert told == {
        error: name.removeprefix("hook.")
        for error in ("BadSetting", "DialogUnknownError")
        for name, method in METHODS.items()
        if error in raises(inspect.getdoc(method))
    }


def test_each_exception_of_a_method_is_explained_or_one_of_python_and_sqlalchemy() -> None:
    raised = {error for name in METHODS for error in on_the_page(name)}
    explained = {*NAMES, "BadSetting", "DialogUnknownError"}

    assert raised - explained == {
        "LookupError",
        "SQLAlchemyError",
        "TimeoutError",
        "TypeError",
        "ValueError",
    }


def test_the_time_limits_are_those_of_the_code() -> None:
    told = [float(seconds) for _, seconds in rows(PAGE, "what")]

    assert statement_deadline.LOCK_TIMEOUT_MS == 500
    assert told == [
        hook.TURN_TIMEOUT_S,
        pytest.approx(hook.TURN_TIMEOUT_S - turn_recorder.STATEMENTS_END_EARLIER_S),
        0.5,
        database._WITHIN_S,
        database._CONNECT_TIMEOUT_S,
        database._COMMAND_TIMEOUT_S,
        queue._PUBLISH_TIMEOUT_S,
        waiting.POLL_INTERVAL_S,
        waiting.RARE_INTERVAL_S,
    ]


@pytest.mark.parametrize(
    ("names", "seconds"),
    [
        (["on_turn", "enqueue", "status"], hook.TURN_TIMEOUT_S),
        (["vary", "on_button"], database._WITHIN_S + 2 * hook.TURN_TIMEOUT_S),
        (["on_dialog_start"], 2 * hook.TURN_TIMEOUT_S),
        (
            [
                "confirm_age",
                "may_ask_age",
                "claim_age_question",
                "release_age_question",
                "revoke_age",
                "has_confirmed_age",
            ],
            database._WITHIN_S,
        ),
        (["ask", "cancel", "forget_user"], database._WITHIN_S + queue._PUBLISH_TIMEOUT_S),
    ],
)
def test_how_long_a_method_may_take_is_the_sum_of_its_limits(
    names: list[str], seconds: float
) -> None:
    for name in names:
        section, docstring = SECTIONS[f"hook.{name}"], METHODS[f"hook.{name}"].__doc__
        (on_page,) = re.findall(r"^- \*\*Time\*\*: ([\d.]+) s", section, re.MULTILINE)
        (in_code,) = re.findall(r"Takes\s+at\s+most\s+([\d.]+)\s+s", docstring)
        assert float(on_page) == float(in_code) == pytest.approx(seconds)


def test_the_times_of_on_end_are_those_of_the_code() -> None:
    section, docstring = SECTIONS["hook.on_end"], METHODS["hook.on_end"].__doc__

    assert EndTimes() == EndTimes(poll_s=5, callback_s=30, lease_s=60)
    for words in ("within 5 s", "longer than 30 s", "after a minute", f"to {ends.AT_A_TIME} ends"):
        assert words in section
        assert words in " ".join(docstring.split())


def test_the_lengths_of_what_people_write_are_those_of_the_code() -> None:
    meanings = {name: meaning for name, *_, meaning in rows(SECTIONS["Turn"], "field")}

    assert f"1 to {turn.MAX_PERSONA} characters" in meanings["persona"]
    assert f"newest {turn.MAX_MESSAGES} messages are kept" in meanings["history"]
    for name in ("text", "reply", "prompt"):
        assert f"{turn.MAX_TEXT:,} characters" in meanings[name]


def test_the_number_of_connections_is_that_of_the_code() -> None:
    assert f"at most {database._CONNECTIONS} to PostgreSQL" in SECTIONS["ChatFlowHook"]
