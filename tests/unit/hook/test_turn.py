"""Turn: what a bot may hand over."""

import pytest
from pydantic import ValidationError

from chatflow_hook import Message, Rating, Turn
from chatflow_hook.turn import MAX_PERSONA, MAX_TEXT


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


@pytest.mark.parametrize("changes", [{"persona": 7}, {"text": None}, {"message_count": "many"}])
def test_a_value_of_the_wrong_kind_is_misuse(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        turn(**changes)
