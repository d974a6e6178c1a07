"""Who has had the pictures that the limits allow is told when the next one is free."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from aiogram.types import MessageEntity

from chatflow_hook.limited_message import limited_message, limited_notice
from chatflow_hook.messages import Messages
from chatflow_hook.quota import Limited

LIMITED = Limited(free_at=datetime(2026, 11, 29, 13, 9, 30, tzinfo=UTC))


def test_it_says_the_time_of_the_chat_if_that_is_known() -> None:
    message = limited_message(LIMITED, Messages(), language="ru", zone=ZoneInfo("Europe/Moscow"))

    assert message.text.endswith("в 16:10.")
    assert message.entities == ()


def test_otherwise_telegram_shows_it_in_the_readers_own_zone() -> None:
    message = limited_message(LIMITED, Messages(), language="en", zone=None)

    assert message.text.endswith("The next one is free at 13:10 UTC.")
    (entity,) = (MessageEntity.model_validate(each) for each in message.entities)
    assert entity.extract_from(message.text) == "13:10 UTC"
    assert entity.unix_time == datetime(2026, 11, 29, 13, 10, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("free_at", "told"),
    [("12:59:59.999999", "13:00"), ("13:00:00", "13:00"), ("23:59:01", "00:00")],
)
def test_at_the_time_that_is_told_the_next_picture_is_free(free_at: str, told: str) -> None:
    limited = Limited(free_at=datetime.fromisoformat(f"2026-11-29T{free_at}+00:00"))

    message = limited_message(limited, Messages(), language="en", zone=None)

    assert message.text.endswith(f"at {told} UTC.")


def test_a_phrase_of_an_operator_need_not_have_the_time(tmp_path: Path) -> None:
    file = tmp_path / "messages.toml"
    file.write_text('[en]\nlimited = "Not now {really}."\n')

    message = limited_message(LIMITED, Messages(file), language="en", zone=None)

    assert (message.text, message.entities) == ("Not now {really}.", ())


@pytest.mark.parametrize(
    ("zone", "ending"),
    [(None, "в 13:10 UTC."), (ZoneInfo("Europe/Moscow"), "в 16:10.")],
    ids=["unknown", "known"],
)
def test_the_answer_to_a_press_says_the_time_of_the_person_or_that_it_is_utc(
    zone: ZoneInfo | None, ending: str
) -> None:
    assert limited_notice(LIMITED, Messages(), language="ru", zone=zone).endswith(ending)


def test_an_answer_of_an_operator_that_says_utc_itself_says_it_once_or_not_at_all(
    tmp_path: Path,
) -> None:
    file = tmp_path / "messages.toml"
    file.write_text('[en]\nbutton_limited = "Free at {time} UTC."\n')
    words = Messages(file)

    said = [
        limited_notice(LIMITED, words, language="en", zone=zone)
        for zone in (None, ZoneInfo("Europe/Moscow"))
    ]

    assert said == ["Free at 13:10 UTC.", "Free at 16:10."]
