"""Turn: what a bot may hand over."""

import ast
import inspect
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

from chatflow_hook import Message, Rating, Turn
from chatflow_hook.turn import MAX_PERSONA, MAX_TEXT, DialogKey, dialog_number


def turn(**changes: object) -> Turn:
    usual: dict[str, object] = {
        "dialog_id": 1,
        "user_id": 2,
        "chat_id": 3,
        "persona": "lina",
        "text": "hello",
    }
    return Turn.model_validate(usual | changes)


def test_a_turn_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        turn().text = "other"  # type: ignore[misc] # misuse on purpose


@pytest.mark.parametrize("name", ["lina", "Lina", " LINA "])
def test_a_persona_is_named_in_any_case(name: str) -> None:
    assert turn(persona=name).persona == "lina"


@pytest.mark.parametrize("rating", ["spicy", None, 7, ""])
def test_an_unknown_rating_is_safe(rating: object) -> None:
    assert turn(rating=rating).rating is Rating.SAFE


def test_a_misspelt_field_is_misuse() -> None:
    with pytest.raises(ValidationError, match="mesage_count"):
        turn(mesage_count=3)


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_message_can_never_become_a_picture(text: str) -> None:
    fault = turn(text=text).fault

    assert fault is not None
    assert fault.code == "empty_message"


def test_a_message_without_words_can_be_drawn_from_the_reply() -> None:
    assert turn(text="", reply="We walk by the sea.").fault is None


def test_a_message_beyond_all_limits_is_too_long() -> None:
    assert turn(text="x" * MAX_TEXT).fault is None

    fault = turn(text="x" * 100_000).fault

    assert fault is not None
    assert fault.code == "message_too_long"


def test_a_zero_byte_is_dropped_since_the_database_takes_none() -> None:
    conversation = turn(text="a\0b", history=[Message(role="user", text="c\0d")]).conversation

    assert conversation.text == "ab"
    assert conversation.history[0].text == "cd"


@pytest.mark.parametrize(
    ("changes", "kept"),
    [({}, 7), ({"reply": "by the sea"}, 6), ({"text": "", "reply": "by the sea"}, 7)],
)
def test_only_the_newest_8_messages_are_kept(changes: dict[str, object], kept: int) -> None:
    history = [Message(role="user", text=str(number)) for number in range(500)]

    conversation = turn(history=history, **changes).conversation

    assert [message.text for message in conversation.history] == [
        str(number) for number in range(500 - kept, 500)
    ]
    assert len(conversation.messages) == 8


def test_an_empty_message_takes_no_place_of_the_history() -> None:
    said = [Message(role="user", text=str(number)) for number in range(9)]
    silence = [Message(role="persona", text=text) for text in ("", "  ", " " * MAX_TEXT + "late")]

    conversation = turn(history=[*said, *silence]).conversation

    assert [message.text for message in conversation.history] == list("2345678")


@pytest.mark.parametrize("name", ["", "  ", "\0", "x" * (MAX_PERSONA + 1)])
def test_a_name_that_no_persona_can_have_breaks_no_chat(name: str) -> None:
    fault = turn(persona=name).fault

    assert fault is not None
    assert fault.code == "unknown_persona"


def test_half_an_emoji_breaks_no_chat() -> None:
    assert turn(text="hello \ud83d").text == "hello "


@pytest.mark.parametrize("changes", [{"persona": 7}, {"text": 7}, {"message_count": "many"}])
def test_a_value_of_the_wrong_kind_is_misuse(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        turn(**changes)


def test_what_a_table_does_not_hold_breaks_no_chat() -> None:
    gaps = Turn(
        dialog_id=1,
        user_id=2,
        chat_id=3,
        persona=None,
        text=None,
        history=None,
        rating=None,
        is_refresh=None,
        has_spoiler=None,
    )

    assert (gaps.persona, gaps.text, gaps.history) == ("", "", ())
    assert (gaps.is_refresh, gaps.has_spoiler) == (False, False)
    assert gaps.fault is not None
    assert gaps.fault.code == "unknown_persona"


def test_a_voice_message_is_drawn_from_the_reply() -> None:
    assert turn(text=None, reply="We walk by the sea.").fault is None


@pytest.mark.parametrize(
    ("role", "kept"),
    [("user", "user"), ("human", "user"), ("narrator", "user"), (None, "user"), ("", "user")]
    + [(role, "persona") for role in ("persona", "assistant", "Assistant", "model", "bot")],
)
def test_the_roles_of_language_models_are_known(role: str | None, kept: str) -> None:
    assert Message(role=role, text="hi").role == kept


def test_a_history_is_taken_as_language_models_have_it() -> None:
    conversation = turn(
        history=[
            {"role": "system", "content": "You are Lina, 24."},
            {"role": "user", "content": "Where are you?"},
            {"role": "assistant", "content": "By the sea."},
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "tool", "content": "{}"},
            None,
            {"role": "user", "content": [{"type": "text", "text": "Look!"}, {"type": "image_url"}]},
            Message(role="assistant", text=None),
        ]
    ).conversation

    assert [(message.role, message.text) for message in conversation.history] == [
        ("user", "Where are you?"),
        ("persona", "By the sea."),
        ("user", "Look!"),
    ]


def test_a_history_from_a_queue_or_an_array_is_a_list() -> None:
    assert len(turn(history=({"role": "user", "text": "hi"},)).history) == 1
    assert turn(history=[]).history == ()


@pytest.mark.parametrize(("key", "number"), [(42, 42), ("42", 42), (" -42 ", -42), ("007", 7)])
def test_a_dialog_is_known_by_its_number_in_any_form(key: int | str, number: int) -> None:
    assert turn(dialog_id=key).dialog_id == number


@pytest.mark.parametrize("key", [UUID(int=7), "chat-7", "1" * 30, "٣"])
def test_a_dialog_may_have_another_key_which_always_has_the_same_number(key: DialogKey) -> None:
    number = turn(dialog_id=key).dialog_id

    assert 0 < number < 2**63
    assert number == turn(dialog_id=str(key)).dialog_id == dialog_number(key)


def test_the_number_of_a_key_is_the_same_in_every_version() -> None:
    assert dialog_number(UUID(int=7)) == 473672414461164097


@pytest.mark.parametrize("key", ["", " ", None, 1.5])
def test_a_dialog_without_a_key_is_misuse(key: object) -> None:
    with pytest.raises(ValidationError):
        turn(dialog_id=key)


@pytest.mark.parametrize("model", [Turn, Message])
def test_a_type_checker_sees_a_constructor_with_all_fields(model: type[BaseModel]) -> None:
    tree = ast.parse(inspect.getsource(model))
    (seen,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    ]

    assert [argument.arg for argument in seen.args.kwonlyargs] == list(model.model_fields)
    assert "__init__" not in vars(model), "it is for type checkers alone"


if TYPE_CHECKING:  # misuse is what a type checker finds

    def _misuse() -> None:
        Turn(dialog_id=1, user_id=2, chat_id=3, persona="lina")  # type: ignore[call-arg]
        Turn(dialog_id=None, user_id=2, chat_id=3, persona="lina", text="")  # type: ignore[arg-type]
        Turn(dialog_id=1, user_id=None, chat_id=3, persona="lina", text="")  # type: ignore[arg-type]
        Turn(dialog_id=1, user_id=2, chat_id=3, persona=7, text="")  # type: ignore[arg-type]
        Turn(dialog_id=1, user_id=2, chat_id=3, persona="", text="", mesage_count=3)  # type: ignore[call-arg]
        Message(role=7, text="")  # type: ignore[arg-type]
