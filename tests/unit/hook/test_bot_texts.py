"""What a bot says by itself: a bot's own texts are checked when it starts, not in a chat."""

import re
from pathlib import Path
from typing import Any

import pytest

from chatflow_hook.bot_texts import BotTexts

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ({"en": {"hullo": "x"}}, "there is no text 'hullo'; there are photo_command, "),
        ({"en": {"privacy": ""}}, "privacy is empty, or no text"),
        ({"en": {"privacy": " \n"}}, "privacy is empty, or no text"),
        ({"en": {"privacy": 5}}, "privacy is empty, or no text"),
        ({"en": {"privacy": None}}, "privacy is empty, or no text"),
        ({"en": "Hello"}, "holds no texts by key"),
        ({"": {"privacy": "x"}}, "is no language"),
        ({"de-AT": {"privacy": "x"}}, "is no language"),
        ({"DE": {"privacy": "x"}}, "is no language"),
        ({5: {"privacy": "x"}}, "is no language"),
        ({"en": {"too_late": "x" * 201}}, "too_late has 201 characters; 200 are allowed"),
        ({"en": {"photo_command": "x" * 257}}, "257 characters; 256 are allowed"),
        ({"en": {"privacy": "x" * 4097}}, "4097 characters; 4096 are allowed"),
    ],
)
def test_a_text_that_would_fail_in_a_chat_is_refused(own: Any, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        BotTexts(own)


def test_a_language_of_ones_own_falls_back_to_english() -> None:
    texts = BotTexts({"de": {"forget_no": "Nein"}})

    assert texts.text("forget_no", "de-AT") == "Nein"
    assert texts.text("age_no", "de") == "No"
    assert texts.text("age_no", "ru-RU") == "Нет"


def test_the_texts_that_are_shipped_could_be_a_bots_own() -> None:
    shipped = BotTexts()

    for language in shipped.languages:
        BotTexts({language: {key: shipped.text(key, language) for key in documented_keys()}})


def documented_keys() -> list[str]:
    """The keys in the table of docs/persona-bot.md."""
    page = (DOCS / "persona-bot.md").read_text("utf-8")
    table = page.partition("| key | what it is |")[2].partition("\n\n")[0]
    return [
        key
        for row in table.splitlines()
        for key in re.findall(r"`(\w+)`", row.strip("|").partition("|")[0])
    ]


def test_the_docs_list_each_key() -> None:
    with pytest.raises(ValueError, match="there are ") as refused:
        BotTexts({"en": {"?": "x"}})

    assert sorted(str(refused.value).partition("there are ")[2].split(", ")) == sorted(
        documented_keys()
    )
